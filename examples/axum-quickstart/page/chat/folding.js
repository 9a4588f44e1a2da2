// Folding changes into a message: an edit holds if its number is greater, a delete always, a reaction as a set of users.

/** Everything the log said about one message after it was sent. */
export class Changes {
  edit = null;
  deleted = false;
  /** By key and user, the last word: `{key, user, add, seq}`. */
  #reactions = new Map();

  add(entry) {
    if (entry.kind === 'delete') {
      this.deleted = true;
    } else if (entry.kind === 'edit') {
      if (entry.seq > (this.edit?.seq ?? 0)) this.edit = entry;
    } else {
      const id = JSON.stringify([entry.key, entry.sender]);
      if (entry.seq > (this.#reactions.get(id)?.seq ?? 0)) {
        this.#reactions.set(id, { key: entry.key, user: entry.sender, add: entry.op !== 'remove', seq: entry.seq });
      }
    }
  }

  reactionsAfter(seq) {
    return [...this.#reactions.values()].filter((reaction) => reaction.seq > seq).sort((a, b) => a.seq - b.seq);
  }
}

/** The message as it is to be shown. `asOf`: up to which number `entry.reactions` is complete. */
export function foldMessage(entry, asOf, changes) {
  const { text, json, edited, reactions, deleted, ...rest } = entry;
  if (deleted || changes?.deleted) return { ...rest, deleted: true };
  const item = { ...rest };
  const body = changes?.edit && changes.edit.seq > (edited?.seq ?? 0) ? changes.edit : entry;
  if (body.text !== undefined) item.text = body.text;
  if (body.json !== undefined) item.json = body.json;
  if (body !== entry) item.edited = { seq: body.seq, at: body.createdAt };
  else if (edited) item.edited = edited;
  const folded = foldReactions(reactions ?? [], changes?.reactionsAfter(asOf) ?? []);
  if (folded.length > 0) item.reactions = folded;
  return item;
}

function foldReactions(base, later) {
  const byKey = new Map();
  for (const { key, count, users = [] } of base) {
    // A list of users may be shorter than the count; those it leaves out are only counted.
    byKey.set(key, { users: new Set(users), unnamed: Math.max(0, (count ?? 0) - users.length) });
  }
  for (const { key, user, add } of later) {
    if (!byKey.has(key)) byKey.set(key, { users: new Set(), unnamed: 0 });
    if (add) byKey.get(key).users.add(user);
    else byKey.get(key).users.delete(user);
  }
  return [...byKey]
    .map(([key, { users, unnamed }]) => ({ key, count: users.size + unnamed, users: [...users] }))
    .filter(({ count }) => count > 0);
}
