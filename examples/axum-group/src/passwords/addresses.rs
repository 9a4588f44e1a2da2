//! One check at a time for each address.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The addresses for which a password is checked now; as many as there are checks. Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub(super) struct Addresses(Arc<Mutex<HashSet<Arc<str>>>>);

/// Nobody else has the address until this is dropped.
pub(super) struct Taken {
    addresses: Addresses,
    address: Arc<str>,
}

impl Addresses {
    /// `None` while somebody has it.
    pub(super) fn take(&self, address: &str) -> Option<Taken> {
        let address: Arc<str> = address.into();
        let is_free = self.all().insert(Arc::clone(&address));
        is_free.then(|| Taken { addresses: self.clone(), address })
    }

    fn all(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.addresses.all().remove(&self.address);
    }
}

/// Without the addresses, which are people's.
impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").field("count", &self.all().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_free_again_when_nobody_has_it_and_is_not_kept() {
        let addresses = Addresses::default();
        let ann = addresses.take("ann@example.com");
        assert!(ann.is_some() && addresses.take("ann@example.com").is_none());
        assert!(addresses.take("bob@example.com").is_some());
        assert_eq!(format!("{addresses:?}"), "Addresses { count: 1 }");
        drop(ann);
        assert_eq!(addresses.all().len(), 0);
        assert!(addresses.take("ann@example.com").is_some());
    }
}
