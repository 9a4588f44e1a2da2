"""Fills a server with rooms, members, messages, reactions and read markers, and writes down what to name in requests.

    seed.py URL FOLDER

FOLDER gets a dictionary per kind of name (libFuzzer's format, which schemathesis reads), and `auth.json` with the tokens.
"""

import json
import pathlib
import sys

import requests
from websockets.sync.client import connect

PATIENCE = 10
MESSAGES = 12


class Guest:
    """Somebody who was let in by a name."""

    def __init__(self, url: str, name: str):
        answer = requests.post(f"{url}/guest", json={"name": name}, timeout=PATIENCE)
        answer.raise_for_status()
        guest = answer.json()
        self.url, self.user, self.token = url, guest["user"], guest["token"]

    def authorization(self) -> str:
        return f"Bearer {self.token}"

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        headers = {"Authorization": self.authorization()}
        url = f"{self.url}/chat{path}"
        answer = requests.request(method, url, json=body, headers=headers, timeout=PATIENCE)
        if not answer.ok:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else {}

    def commands(self, *commands: dict) -> None:
        """What has no route: said over the WebSocket, each answered before the next."""
        address = f"ws{self.url.removeprefix('http')}/chat/ws"
        headers = {"Authorization": self.authorization()}
        with connect(address, additional_headers=headers, open_timeout=PATIENCE) as socket:
            for number, command in enumerate([{"type": "connect"}, *commands], start=1):
                socket.send(json.dumps({"id": number, **command}))
                while (answer := json.loads(socket.recv(timeout=PATIENCE))).get("reply") != number:
                    pass
                if answer["type"] == "error":
                    raise SystemExit(f"{command}: {answer}")


def fill_room(room: str, owner: Guest, others: list[Guest]) -> list[dict]:
    """Everybody says something and reacts to something; answers what was sent."""
    for other in others:
        owner.call("PUT", f"/rooms/{room}/members/{other.user}", {"role": "member"})
    people = [owner, *others]
    sent = []
    for number in range(MESSAGES):
        sender = people[number % len(people)]
        body = {"json": {"number": number}} if number % 4 == 3 else {"text": f"hello, this is number {number}"}
        sent.append(sender.call("POST", f"/rooms/{room}/messages", {"clientId": f"seed-{number}", **body}))
    for index, person in enumerate(people):
        target = {"room": room, "target": sent[index]["id"]}
        edited = {"type": "edit", **target, "clientId": "seed-edit", "text": "hello again"}
        reactions = [
            {"type": "react", **target, "clientId": f"seed-react-{count}", "key": key, "op": "add"}
            for count, key in enumerate(("👍", "heart"))
        ]
        person.commands(edited, *reactions)
        person.call("PUT", f"/rooms/{room}/read", {"cursor": sent[index * 3]["cursor"]})
    owner.commands({"type": "delete", "room": room, "clientId": "seed-delete", "target": sent[-1]["id"]})
    return sent


def write_dictionary(path: pathlib.Path, values: list[str]) -> None:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    path.write_text("".join(f'"{value}"\n' for value in quoted), encoding="utf-8")


def write_tokens(path: pathlib.Path, people: dict[str, Guest]) -> None:
    """https://github.com/WebFuzzing/Commons: who there is, and what each sends to say so."""
    auth = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": person.authorization()}]}
        for name, person in people.items()
    ]
    path.write_text(json.dumps({"auth": auth}), encoding="utf-8")


def main(url: str, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ann, bob, cy, stranger = (Guest(url, name) for name in ("Ann", "Bob", "Cy", "Stranger"))
    # Requests are Ann's. Some of them leave a room or close it, so she has more than one of each kind.
    hers = {f"seed-own-{number}": (ann, [bob, cy]) for number in range(4)}
    shared = {f"seed-shared-{number}": (bob, [ann, cy]) for number in range(2)}
    foreign = {"seed-foreign": (bob, [cy])}
    sent = []
    rooms = {**hers, **shared, **foreign}
    for room, (owner, others) in rooms.items():
        owner.call("POST", "/rooms", {"id": room, "key": f"key:{room}", "metadata": {"name": room}})
        sent += fill_room(room, owner, others)
    write_dictionary(folder / "rooms.dict", [*rooms, "lobby", "no-such-room"])
    write_dictionary(folder / "users.dict", ["me", ann.user, bob.user, cy.user, "never-seen"])
    write_dictionary(folder / "cursors.dict", [one["cursor"] for one in sent])
    write_dictionary(folder / "messages.dict", [one["id"] for one in sent])
    write_dictionary(folder / "words.dict", ["hello", "number 3"])
    write_tokens(folder / "auth.json", {"ann": ann, "stranger": stranger})
    print(f"{len(rooms)} rooms with {len(sent)} messages")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
