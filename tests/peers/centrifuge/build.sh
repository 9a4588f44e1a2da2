#!/bin/sh
# Builds the peer into a folder: the first argument, or target/peers of this repository.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../../../target/peers}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$here"
CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -o "$folder/centrifuge" .
