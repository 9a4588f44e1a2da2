use chat_core::{Chat, auth::Credentials};
use futures::{Sink, Stream};

use crate::{
    Limits,
    json::{Incoming, Outgoing},
};

/// Serves one client until it or the server ends the connection. `credentials` are those that came before the first
/// frame, such as a header's.
pub async fn serve<I, O, E>(
    chat: Chat,
    credentials: Option<Credentials>,
    limits: Limits,
    incoming: I,
    outgoing: O,
) where
    I: Stream<Item = Result<Incoming, E>> + Send + 'static,
    O: Sink<Outgoing> + Send + 'static,
    E: Send + 'static,
{
    drop((chat, credentials, limits, incoming, outgoing));
}
