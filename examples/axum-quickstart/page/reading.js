// What has been read and what has not: one's own place in each room, the line above what is new, and the others' places.

export class Reading {
  #model;

  constructor(model) {
    this.#model = model;
  }

  /** The line "new messages" stands after what was read when the room was opened. */
  async placeDivider(room) {
    room.dividerAfter = null;
    if (room.unread === 0) return;
    const { read } = room;
    const known = room.receipts.seqOf(read);
    if (known !== undefined) return room.divideAfter(known, read);
    const seq = await room.receipts.resolve(read, this.#model.history(room)).catch(() => undefined);
    if (seq === undefined || room.id !== this.#model.current || room.dividerAfter !== null) return undefined;
    room.divideAfter(seq, read);
    return this.#model.emit('timeline', { room: room.id });
  }

  /** The message after that line, wherever in the history it is. */
  async firstUnread(room) {
    const { page } = await this.#model.history(room)({ after: room.dividerCursor, limit: 1 });
    return page.entries[0];
  }

  /** Tells the server that everything up to the newest message was seen. */
  markRead(room) {
    const cursor = room.newestCursor();
    if (!cursor || cursor === room.read) return;
    room.read = cursor;
    room.dividerRead = true;
    this.#model.client.read(room.id, cursor);
    if (room.unread !== 0) {
      room.unread = 0;
      this.#model.emit('rooms');
    }
  }

  /** Loads who has read up to where. */
  async load(room) {
    const { markers } = await this.#model.api.markers(room.id);
    await room.receipts.load(markers, this.#model.history(room));
    this.#model.emit('receipts', { room: room.id });
  }

  /** Asks the server how many are unread. */
  async count(room, triesLeft = 3) {
    try {
      const head = room.newestCursor();
      const { unread } = await this.#model.api.unread(room.id);
      // What came meanwhile may or may not be in that number: ask again.
      if (head !== room.newestCursor() && triesLeft > 0) return await this.count(room, triesLeft - 1);
      room.unread = room.read === room.newestCursor() ? 0 : unread;
      this.#model.emit('rooms');
    } catch {
      // The next list of rooms brings the number.
    }
    return undefined;
  }

  onRead(room, user, cursor) {
    room.receipts.set(user, cursor);
    if (user !== this.#model.me) {
      this.#model.emit('receipts', { room: room.id });
    } else if (cursor !== room.read) {
      room.read = cursor;
      this.count(room);
    }
  }
}
