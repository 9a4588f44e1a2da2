-- Which logs have stood in front of this one and given out the positions of a room: what each of them still hands over is taken
-- or refused by this. Written and read under the lock of the room's row.
CREATE TABLE lives (
    room        bigint  NOT NULL,
    no          integer NOT NULL,               -- from the oldest to the newest
    epoch       text    COLLATE "C" NOT NULL,   -- of the cursors of the log in front
    base        bigint  NOT NULL,               -- its own positions begin behind this one
    store_epoch text    COLLATE "C" NOT NULL,   -- of `store`, when it began: in any other one it counts for nothing
    PRIMARY KEY (room, no)
);
