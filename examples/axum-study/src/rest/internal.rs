//! What other services ask for.

use axum::{Json as Answer, extract::State};
use chat_core::{MemberChange, RoomChange};
use chat_gateway::Problem;
use serde::Deserialize;

use super::{
    App, MemberTold, RoomTold,
    extract::{Id, Json, Service},
    refused,
    rooms::answer,
};
use crate::{
    studies::new_room,
    wire::{number, room, user},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StudyMember {
    study_id: u64,
    #[serde(alias = "memberId")]
    user_id: u64,
    /// Of the room, if it has to be created.
    #[serde(default)]
    name: String,
}

/// As an event of a new member does.
pub(super) async fn add_member(
    _: Service,
    State(app): State<App>,
    Json(new): Json<StudyMember>,
) -> Result<Answer<MemberTold>, Problem> {
    let member = user(new.user_id).map_err(refused)?;
    let service = app.studies.service(&member);
    let room = new_room(new.study_id, &new.name).map_err(refused)?;
    let (room, _) = app.studies.find_or_create(&service, room).await.map_err(refused)?;
    let role = app.studies.role_of(&room.id, &member).await.map_err(refused)?;
    let outcome =
        app.studies.change(&service, &room.id, MemberChange::add(member, role)).await.map_err(refused)?;
    answer(number(room.id.as_str()).unwrap_or_default(), outcome)
}

#[derive(Deserialize)]
pub(super) struct Change {
    active: bool,
}

/// Opens or closes a room for new messages, such as with its study.
pub(super) async fn change(
    _: Service,
    State(app): State<App>,
    Id(id): Id,
    Json(Change { active }): Json<Change>,
) -> Result<Answer<RoomTold>, Problem> {
    // Whose name it is done under does not show anywhere.
    let service = app.studies.service(&user(0).map_err(refused)?);
    let change = RoomChange { active: Some(active), ..RoomChange::default() };
    let changed = service.update_room(&room(id).map_err(refused)?, change).await.map_err(refused)?;
    Ok(Answer(changed.into()))
}
