//! How many sessions there may be, in all and of one peer.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// There are as many sessions as there may be.
#[derive(Debug)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Places {
    state: Mutex<State>,
    most: usize,
    most_per_peer: usize,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Peers that have some.
    of_peers: HashMap<IpAddr, usize>,
}

/// The right to one session. Dropped with it.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    peer: Option<IpAddr>,
}

impl Places {
    pub(super) fn new(most: usize, most_per_peer: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), most, most_per_peer })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Place, Full> {
        let peer = peer.map(network);
        let mut state = self.lock();
        let of_peer = peer.and_then(|peer| state.of_peers.get(&peer)).copied().unwrap_or(0);
        if state.taken >= self.most || (peer.is_some() && of_peer >= self.most_per_peer) {
            return Err(Full);
        }
        state.taken += 1;
        if let Some(peer) = peer {
            state.of_peers.insert(peer, of_peer + 1);
        }
        drop(state);
        Ok(Place { places: self.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.taken -= 1;
        let Some(peer) = self.peer else { return };
        if let Some(of_peer) = state.of_peers.get_mut(&peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                state.of_peers.remove(&peer);
            }
        }
    }
}

/// One customer of IPv6 has a whole network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_so_many_and_all_together_so_many() {
        let places = Places::new(4, 2);
        let take = |peer: &str| places.take(peer.parse().ok());
        let (one, _two) = (take("192.0.2.1").unwrap(), take("::ffff:192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_err());
        drop(one);
        let _one = take("192.0.2.1").unwrap();
        let first = take("2001:db8::1").unwrap();
        let second = take("2001:db8::ffff:1:2:3").unwrap();
        assert!(take("unknown").is_err(), "all are taken");
        drop(first);
        let _unknown = take("unknown").unwrap();
        drop(second);
        assert_eq!(places.lock().of_peers.len(), 1, "of peers that are gone nothing is kept");
    }
}
