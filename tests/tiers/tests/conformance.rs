//! Redis in front of an archive keeps the whole contract, on one server and on a cluster of three, wherever the seam is.

use chat_test_tiers::{Behind, Front, Tiers};

/// All in Redis.
mod wide {
    use super::*;
    chat_core::message_log_tests!(Tiers::new(Front::Single, Behind::Memory, 1_000));
    chat_core::rooms_tests!(Tiers::new(Front::Single, Behind::Memory, 1_000));
    chat_core::rooms_members_tests!(Tiers::new(Front::Single, Behind::Memory, 1_000));
    chat_core::rooms_read_tests!(Tiers::new(Front::Single, Behind::Memory, 1_000));
    chat_core::rooms_unread_tests!(Tiers::new(Front::Single, Behind::Memory, 1_000));
    chat_core::rooms_listing_tests!(Tiers::new(Front::Single, Behind::Memory, 1_000));
}

/// A seam within most pages, which moves while they are read.
mod narrow {
    use super::*;
    chat_core::message_log_tests!(Tiers::new(Front::Single, Behind::Memory, 3));
}

mod postgres {
    use super::*;
    chat_core::message_log_tests!(Tiers::new(Front::Single, Behind::Postgres, 3));
    chat_core::rooms_tests!(Tiers::new(Front::Single, Behind::Postgres, 1_000));
    chat_core::rooms_members_tests!(Tiers::new(Front::Single, Behind::Postgres, 1_000));
    chat_core::rooms_read_tests!(Tiers::new(Front::Single, Behind::Postgres, 1_000));
    chat_core::rooms_unread_tests!(Tiers::new(Front::Single, Behind::Postgres, 1_000));
    chat_core::rooms_listing_tests!(Tiers::new(Front::Single, Behind::Postgres, 1_000));
    chat_core::search_tests!(Tiers::new(Front::Single, Behind::Postgres, 1_000));
}

/// With unread counts that are remembered.
mod remembering {
    use super::*;

    fn tiers(front: Front, behind: Behind) -> Tiers {
        Tiers::new(front, behind, 3).remembering()
    }

    chat_core::rooms_members_tests!(tiers(Front::Single, Behind::Postgres));
    chat_core::rooms_read_tests!(tiers(Front::Single, Behind::Postgres));
    chat_core::rooms_unread_tests!(tiers(Front::Single, Behind::Postgres));

    mod cluster {
        use super::*;
        chat_core::rooms_unread_tests!(tiers(Front::Cluster, Behind::Memory));
    }
}

mod cluster {
    use super::*;
    chat_core::message_log_tests!(Tiers::new(Front::Cluster, Behind::Memory, 3));
    chat_core::rooms_tests!(Tiers::new(Front::Cluster, Behind::Memory, 1_000));
    chat_core::rooms_members_tests!(Tiers::new(Front::Cluster, Behind::Memory, 1_000));
    chat_core::rooms_read_tests!(Tiers::new(Front::Cluster, Behind::Memory, 1_000));
    chat_core::rooms_unread_tests!(Tiers::new(Front::Cluster, Behind::Memory, 1_000));
    chat_core::rooms_listing_tests!(Tiers::new(Front::Cluster, Behind::Memory, 1_000));
}
