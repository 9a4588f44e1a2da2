use chat_backend_redis::HotLogConfig;
use chat_core::tiered::{GateState, HotAppended};

use super::place::{Base, Place, draft};

impl Place {
    async fn gate_state(&self) -> GateState {
        match self.append(None, vec![draft("gate")]).await {
            HotAppended::Gate(state) => state,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn who_knows_the_gate_writes_and_who_does_not_is_told() {
    let place = Place::open(HotLogConfig::new()).await;
    let state = place.gate_state().await;
    assert!(state.settled);
    assert_eq!(place.gate_state().await, state, "asking changes nothing");
    assert!(matches!(place.append(Some(state.gate.clone()), vec![draft("a")]).await, HotAppended::Done(..)));
    let other = place.beside("other");
    other.begin(Base::at(0)).await;
    assert_ne!(other.gate_state().await.gate, state.gate);
    let answer = other.append(Some(state.gate), vec![draft("a")]).await;
    assert!(matches!(answer, HotAppended::Gate(_)), "{answer:?}");
}

#[tokio::test]
async fn a_hold_and_its_end_change_the_gate() {
    let place = Place::open(HotLogConfig::new()).await;
    let before = place.gate_state().await;
    let hold = place.log.hold(&place.room).await.unwrap();
    let during = place.gate_state().await;
    assert!(during.gate != before.gate && !during.settled);
    let answer = place.append(Some(before.gate.clone()), vec![draft("a")]).await;
    assert_eq!(answer, HotAppended::Gate(during.clone()), "what was learned before does not hold");
    let answer = place.append(Some(during.gate.clone()), vec![draft("a")]).await;
    assert!(matches!(answer, HotAppended::Done(..)), "it is up to the caller whether it waits");
    place.log.release(&place.room, &hold).await.unwrap();
    let after = place.gate_state().await;
    assert!(after.gate != during.gate && after.gate != before.gate && after.settled);
}

#[tokio::test]
async fn a_gate_is_settled_when_no_change_is_under_way() {
    let place = Place::open(HotLogConfig::new()).await;
    let first = place.log.hold(&place.room).await.unwrap();
    let second = place.log.hold(&place.room).await.unwrap();
    assert_ne!(first, second);
    place.log.release(&place.room, &first).await.unwrap();
    assert!(!place.gate_state().await.settled);
    place.log.release(&place.room, &first).await.unwrap();
    assert!(!place.gate_state().await.settled, "told twice, it is one");
    place.log.release(&place.room, &second).await.unwrap();
    assert!(place.gate_state().await.settled);
}

#[tokio::test]
async fn a_room_that_is_not_open_can_be_held() {
    let place = Place::open(HotLogConfig::new()).await;
    let other = place.beside("other");
    let hold = other.log.hold(&other.room).await.unwrap();
    other.begin(Base::at(0)).await;
    assert!(!other.gate_state().await.settled);
    other.log.release(&other.room, &hold).await.unwrap();
    assert!(other.gate_state().await.settled);
}
