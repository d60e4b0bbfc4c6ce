//! The only session writes by itself when all is plain, and in no other case; what it leaves is
//! written by the connection's task, once and in order.

use super::super::stage_test::{STALL_MIN, Stage, route};
use super::super::stall::Stall;
use super::WRITE_EARLY;
use crate::proxy::session::Seat;
use crate::pure::topology::{Epoch, Gate, Route};
use crate::telemetry::metrics::Direction;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Beyond what the sockets of a connection take, whatever they grow to.
const TOO_MUCH: usize = 64 << 20;

/// The session pushes, and ends its turn.
fn take_turn(stage: &Stage, seat: &Seat) {
    assert!(stage.shared.push(seat, PING, 1), "it is alone");
    assert!(!stage.is_woken(), "the task sleeps on");
    stage.shared.write_at_once(&stage.gate);
}

/// The turn has written nothing, and left it to the task.
#[track_caller]
fn is_left(stage: &Stage) {
    assert_eq!(stage.unwritten(), PING.len(), "it has written");
    assert!(stage.is_woken(), "nobody will write it");
}

#[tokio::test]
async fn what_the_only_session_pushed_is_written_in_its_turn() {
    let stage = Stage::set(STALL_MIN).await;
    let (seat, _client) = stage.join(1).await;
    for _ in 0..3 {
        take_turn(&stage, &seat);
        assert_eq!(stage.unwritten(), 0);
        assert!(!stage.is_woken(), "the task has nothing to do");
        assert_eq!(stage.arrived(PING.len()).await, PING);
    }
}

#[tokio::test]
async fn nothing_is_written_while_the_gate_is_held() {
    let stage = Stage::set(STALL_MIN).await;
    let (seat, _client) = stage.join(1).await;
    let open = route(stage.node.local_addr().unwrap());
    stage.gate.world.borrow_mut().set_route(Route { version: 2, gate: Gate::Held, ..open });
    take_turn(&stage, &seat);
    is_left(&stage);
    stage.poll();
    assert_eq!(stage.unwritten(), PING.len(), "nor by the task");
    stage.gate.world.borrow_mut().set_route(Route { version: 3, ..open });
    stage.poll();
    assert_eq!(stage.arrived(PING.len()).await, PING);
}

#[tokio::test]
async fn nothing_is_written_to_the_primary_of_another_epoch() {
    let stage = Stage::set(STALL_MIN).await;
    let (seat, _client) = stage.join(1).await;
    let open = route(stage.node.local_addr().unwrap());
    stage.gate.world.borrow_mut().set_route(Route { version: 2, epoch: Epoch(2), ..open });
    take_turn(&stage, &seat);
    is_left(&stage);
}

#[tokio::test]
async fn nothing_is_written_by_a_worker_that_stood_still() {
    let stage = Stage::set(Duration::ZERO).await;
    let (seat, _client) = stage.join(1).await;
    take_turn(&stage, &seat);
    is_left(&stage);
}

#[tokio::test]
async fn nothing_is_written_before_what_the_node_said_is_taken_in() {
    let mut stage = Stage::set(STALL_MIN).await;
    let (seat, _client) = stage.join(1).await;
    stage.node.write_all(b">2\r\n+message\r\n+news\r\n").await.unwrap();
    stage.wait_readable().await;
    take_turn(&stage, &seat);
    is_left(&stage);
    stage.poll();
    assert_eq!(stage.arrived(PING.len()).await, PING, "the task has read first");
}

#[tokio::test]
async fn nothing_is_written_to_a_node_that_has_closed() {
    let mut stage = Stage::set(STALL_MIN).await;
    let (seat, _client) = stage.join(1).await;
    stage.node.shutdown().await.unwrap();
    stage.wait_readable().await;
    take_turn(&stage, &seat);
    is_left(&stage);
    stage.poll();
    assert_eq!(stage.gate.cells.bytes.read(Direction::NodeOut), 0, "nor by the task");
}

#[tokio::test]
async fn what_the_socket_does_not_take_is_written_by_the_task() {
    let stage = Stage::set(STALL_MIN).await;
    let (seat, _client) = stage.join(1).await;
    let large: Vec<u8> = (0_u8..=250).cycle().take(TOO_MUCH).collect();
    assert!(stage.shared.push(&seat, &large, 1));
    stage.shared.write_at_once(&stage.gate);
    let left = stage.unwritten();
    assert!(left > 0 && left < TOO_MUCH, "{left} bytes are left");
    assert!(stage.is_woken());
    let mut arrived = stage.arrived(TOO_MUCH - left).await;
    while stage.unwritten() > 0 {
        let before = stage.unwritten();
        stage.poll();
        arrived.extend(stage.arrived(before - stage.unwritten()).await);
        tokio::task::yield_now().await;
    }
    assert!(arrived == large, "bytes were lost, repeated or mixed up");
}

#[tokio::test]
async fn two_sessions_leave_it_to_the_task() {
    let stage = Stage::set(STALL_MIN).await;
    let (one, _client) = stage.join(1).await;
    let (other, _other_client) = stage.join(2).await;
    for seat in [&one, &other] {
        assert!(!stage.shared.push(seat, PING, 1), "it is not alone");
        assert!(stage.is_woken(), "nobody will write it");
    }
    // It lets those that were read in the same turn push first.
    stage.poll();
    assert_eq!(stage.unwritten(), 2 * PING.len());
    stage.poll();
    assert_eq!(stage.arrived(2 * PING.len()).await, PING.repeat(2));
    stage.shared.detach(2);
    let _earlier = stage.is_woken();
    take_turn(&stage, &one);
    assert_eq!(stage.unwritten(), 0, "it is alone again");
}

#[tokio::test]
async fn much_is_written_before_the_task_has_its_turn() {
    let stage = Stage::set(STALL_MIN).await;
    let (one, _client) = stage.join(1).await;
    let (other, _other_client) = stage.join(2).await;
    let much: Vec<u8> = (0_u8..=250).cycle().take(WRITE_EARLY - 1).collect();
    assert!(!stage.shared.push(&one, &much, 1), "it is not much yet");
    assert!(stage.shared.push(&other, PING, 1));
    assert!(stage.is_woken(), "a session may leave before it has written");
    stage.shared.write_at_once(&stage.gate);
    assert_eq!(stage.unwritten(), 0);
    assert_eq!(stage.arrived(much.len() + PING.len()).await, [&much, PING].concat());
}

#[tokio::test]
async fn who_waits_for_room_is_woken_by_the_task() {
    let stage = Stage::set(STALL_MIN).await;
    let (seat, _client) = stage.join(1).await;
    stage.shared.inner.borrow_mut().waiting.push(std::task::Waker::noop().clone());
    take_turn(&stage, &seat);
    is_left(&stage);
    stage.poll();
    assert!(stage.shared.inner.borrow().waiting.is_empty(), "somebody waits for ever");
    assert_eq!(stage.arrived(PING.len()).await, PING);
}

#[tokio::test]
async fn a_stalled_connection_is_left_to_the_task() {
    let stage = Stage::set(STALL_MIN).await;
    let (seat, _client) = stage.join(1).await;
    let stall = Stall { since: stage.gate.now(), left: 1 };
    stage.shared.inner.borrow_mut().stalled = Some(stall);
    take_turn(&stage, &seat);
    is_left(&stage);
}

#[tokio::test]
async fn what_a_session_pushed_that_leaves_is_written_by_the_task() {
    let stage = Stage::set(STALL_MIN).await;
    let (seat, _client) = stage.join(1).await;
    assert!(stage.shared.push(&seat, PING, 1));
    stage.shared.detach(1);
    assert!(stage.is_woken(), "nobody will write it");
    stage.poll();
    assert_eq!(stage.arrived(PING.len()).await, PING);
}
