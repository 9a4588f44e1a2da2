//! A random story against a naive count.

use super::unread;
use crate::{
    AppendOutcome, Authority, Body, Content, Cursor, CustomKind, MemberChange, MessageId, ReactionOp,
    Refusal, Retention, Role, Seq,
    testkit::{
        LogHarness, LogNode,
        fixtures::{about, append, create_room, reaction, room, store, user},
    },
};

const USERS: [&str; 3] = ["ann", "bob", "cy"];
const STEPS: u32 = 400;

/// One entry as the model remembers it.
struct Entry {
    sender: usize,
    id: MessageId,
    said: bool,
    counts: bool,
    deleted: bool,
}

/// What happened so far. Entry `n` of the log is `entries[n - 1]`.
struct Story<'a> {
    nodes: &'a [LogNode],
    random: fastrand::Rng,
    entries: Vec<Entry>,
    /// How many entries were trimmed.
    trimmed: usize,
    /// Whether each user is a member, and how many entries they have read.
    members: [(bool, usize); USERS.len()],
    drafts: u32,
}

impl Story<'_> {
    fn unread(&self, who: usize) -> u64 {
        let (member, read) = self.members[who];
        let skipped = read.max(self.trimmed);
        let counts = |entry: &&Entry| entry.counts && !entry.deleted && entry.sender != who;
        if member { self.entries.iter().skip(skipped).filter(counts).count() as u64 } else { 0 }
    }

    fn node(&mut self) -> &LogNode {
        &self.nodes[self.random.usize(..self.nodes.len())]
    }

    /// A message that can still be changed.
    fn target(&mut self) -> Option<usize> {
        let trimmed = self.trimmed;
        let open = |(index, entry): &(usize, &Entry)| *index >= trimmed && entry.said && !entry.deleted;
        let open: Vec<usize> = self.entries.iter().enumerate().filter(open).map(|(index, _)| index).collect();
        self.random.choice(open)
    }

    async fn send(&mut self, sender: usize, authority: Authority, content: Content) -> bool {
        self.drafts += 1;
        let (said, counts) =
            (content.kind().is_countable(), content.kind().is_countable() && authority != Authority::System);
        let draft =
            about("r", USERS[sender], &format!("s{}", self.drafts), content).with_authority(authority);
        let allowed = self.members[sender].0 || authority == Authority::System;
        let node = self.node();
        if !allowed {
            assert_eq!(append(node, draft).await, AppendOutcome::Refused(Refusal::NotAMember));
            return false;
        }
        let position = store(node, draft).await;
        self.entries.push(Entry { sender, id: position.id, said, counts, deleted: false });
        assert_eq!(position.cursor.seq.get(), self.entries.len() as u64);
        true
    }

    async fn change_target(&mut self, who: usize) {
        let Some(target) = self.target() else { return };
        let id = self.entries[target].id;
        let deletes = self.random.u8(..3);
        let content = match deletes {
            0 => Content::Edit { target: id, body: Body::text("another") },
            1 => reaction(id, "+1", ReactionOp::Add),
            _ => Content::Delete { target: id },
        };
        // A moderator changes what others wrote, too.
        if self.send(who, Authority::Moderator, content).await && deletes == 2 {
            self.entries[target].deleted = true;
        }
    }

    async fn mark(&mut self, who: usize) {
        let at = self.random.usize(..=self.entries.len());
        let node = self.node();
        let head = node.log.heads(&[room("r")]).await.unwrap().remove(0).unwrap();
        let cursor = Cursor::new(head.cursor.epoch, Seq::new(at as u64).unwrap());
        let answer = node.rooms.mark_read(&room("r"), &user(USERS[who]), &cursor).await;
        let (member, read) = &mut self.members[who];
        assert_eq!(answer.is_ok(), *member);
        if *member {
            *read = at.max(*read);
        }
    }

    async fn join_or_leave(&mut self, who: usize) {
        let was = self.members[who].0;
        let name = user(USERS[who]);
        let change = if was { MemberChange::remove(name) } else { MemberChange::add(name, Role::Member) };
        self.node().rooms.change_member(&room("r"), change).await.unwrap();
        self.members[who].0 = !was;
        if !was {
            self.members[who].1 = self.entries.len();
        }
    }

    async fn trim(&mut self) {
        let kept = self.entries.len() - self.trimmed;
        let keep = kept - self.random.usize(..=kept / 4);
        let retention = Retention { max_entries: Some(keep as u64), not_before: None };
        self.node().log.trim(&room("r"), retention).await.unwrap();
        self.trimmed = self.entries.len() - keep;
    }

    async fn step(&mut self) {
        let who = self.random.usize(..USERS.len());
        match self.random.u8(..20) {
            0..=6 => drop(self.send(who, Authority::Member, Content::text("hello")).await),
            7 => {
                let name = CustomKind::new("poll").unwrap();
                self.send(who, Authority::Member, Content::Custom { name, body: Body::text("which?") }).await;
            }
            8 => drop(self.send(who, Authority::System, Content::text("noted")).await),
            9 => {
                let content = Content::Join { user: user(USERS[who]) };
                self.send(who, Authority::System, content).await;
            }
            10..=13 => self.change_target(who).await,
            14..=16 => self.mark(who).await,
            17 | 18 => self.join_or_leave(who).await,
            _ => self.trim().await,
        }
    }
}

/// Messages of every kind, edits, deletes, reactions, marks, trims, joins and leaves in random order, on two nodes.
pub(super) async fn tell(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &USERS).await;
    let mut story = Story {
        nodes: &nodes,
        random: fastrand::Rng::with_seed(26),
        entries: Vec::new(),
        trimmed: 0,
        members: [(true, 0); USERS.len()],
        drafts: 0,
    };
    for step in 0..STEPS {
        story.step().await;
        for (who, name) in USERS.into_iter().enumerate() {
            let node = &nodes[(step % 2) as usize];
            assert_eq!(unread(node, name).await, story.unread(who), "{name} after step {step}");
        }
    }
    assert!(story.entries.iter().filter(|entry| entry.deleted).count() > 10, "the story has deletes");
    assert!(story.trimmed > 10, "the story has trims");
}
