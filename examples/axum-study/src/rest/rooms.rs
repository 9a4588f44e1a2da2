//! Rooms and who is in them.

use axum::{Json as Answer, extract::State, http::StatusCode};
use chat_core::{Error, Member, MemberChange, MemberOutcome, Role};
use chat_gateway::Problem;
use serde::Deserialize;

use super::{
    App, MemberTold, RoomTold,
    extract::{Caller, Id, Json},
    refused,
};
use crate::{
    studies::new_room,
    wire::{room, user},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewStudyRoom {
    study_id: u64,
    name: String,
}

/// The study's room: 201 where it is new, and 200 with the one that is there, whoever asks.
pub(super) async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(new): Json<NewStudyRoom>,
) -> Result<(StatusCode, Answer<RoomTold>), Problem> {
    if new.name.trim().is_empty() {
        return Err(Problem::invalid("name must not be blank"));
    }
    let new = new_room(new.study_id, &new.name).map_err(refused)?;
    let (room, is_new) = app.studies.find_or_create(&caller, new).await.map_err(refused)?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Answer(room.into())))
}

pub(super) async fn of_study(
    State(app): State<App>,
    Caller(_): Caller,
    Id(study): Id,
) -> Result<Answer<RoomTold>, Problem> {
    let room = app.studies.find(study).await.map_err(refused)?;
    let room = room.ok_or_else(|| Problem::new("room_not_found", "this study has no room"))?;
    Ok(Answer(room.into()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewMember {
    chat_room_id: u64,
    #[serde(alias = "memberId")]
    user_id: u64,
}

/// For members: rooms are open, so that whoever is added could as well have entered. Nobody's role changes.
pub(super) async fn add_member(
    State(app): State<App>,
    Caller(caller): Caller,
    Json(new): Json<NewMember>,
) -> Result<Answer<MemberTold>, Problem> {
    let (id, member) = (room(new.chat_room_id).map_err(refused)?, user(new.user_id).map_err(refused)?);
    let studies = &app.studies;
    let by = match studies.member(&id, caller.user()).await {
        // Rooms that were made by events or other services have nobody else who could.
        Ok(_) => studies.service(caller.user()),
        // As entering does.
        Err(Error::NotAMember { .. }) if member == *caller.user() => caller,
        Err(error) => return Err(refused(error)),
    };
    let role = studies.role_of(&id, &member).await.map_err(refused)?;
    let change = MemberChange::add(member, role);
    answer(new.chat_room_id, studies.change(&by, &id, change).await.map_err(refused)?)
}

/// A second time changes nothing.
pub(super) async fn join(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(number): Id,
) -> Result<Answer<MemberTold>, Problem> {
    let id = room(number).map_err(refused)?;
    let known = app.studies.membership(&id, caller.user()).await.map_err(refused)?;
    if let Some(member) = known.filter(Member::is_current) {
        return Ok(Answer(MemberTold::new(number, &member)));
    }
    let change = MemberChange::add(caller.user().clone(), Role::Member);
    let changed = app.studies.change(&caller, &id, change).await;
    if let Err(Error::Forbidden { .. } | Error::NotAMember { .. }) = changed {
        // A call at the same time was quicker: then it is a change of who is a member.
        let member = app.studies.member(&id, caller.user()).await.map_err(refused)?;
        return Ok(Answer(MemberTold::new(number, &member)));
    }
    answer(number, changed.map_err(refused)?)
}

/// The creator may go like anybody else: other services still manage the room.
pub(super) async fn leave(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(number): Id,
) -> Result<Answer<MemberTold>, Problem> {
    let id = room(number).map_err(refused)?;
    match app.studies.membership(&id, caller.user()).await.map_err(refused)? {
        Some(member) if member.is_current() => {
            let change = MemberChange::remove(caller.user().clone());
            let service = app.studies.service(caller.user());
            answer(number, app.studies.change(&service, &id, change).await.map_err(refused)?)
        }
        Some(former) => Ok(Answer(MemberTold::new(number, &former))),
        None => Err(refused(Error::NotAMember { room: id, user: caller.user().clone() })),
    }
}

/// What a change made of a membership.
pub(super) fn answer(room: u64, outcome: MemberOutcome) -> Result<Answer<MemberTold>, Problem> {
    match outcome {
        MemberOutcome::Added(member)
        | MemberOutcome::RoleChanged(member)
        | MemberOutcome::Removed(member)
        | MemberOutcome::Unchanged(Some(member)) => Ok(Answer(MemberTold::new(room, &member))),
        MemberOutcome::Unchanged(None) => Err(Problem::new("not_a_member", "never was a member")),
    }
}
