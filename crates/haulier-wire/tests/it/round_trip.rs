//! What was sent is what arrives, through real bytes.

use haulier_core::{BeatReply, Capabilities, Changed, Durability, Held, Page, State};
use haulier_wire::settle::Ending;
use haulier_wire::task::Names;
use haulier_wire::{beat, capabilities, control, enqueue, inspect, lease, pb, settle};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::nouns;

/// The message as the other side reads it.
fn sent<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

proptest! {
    #[test]
    fn tasks_arrive_as_they_were_handed_over(tasks in vec(nouns::new_task(), 0..4)) {
        let encoded = enqueue::encode_tasks(&tasks);
        let request = sent(&pb::EnqueueRequest { tasks: encoded });
        prop_assert_eq!(enqueue::decode_tasks(request).unwrap(), tasks);
    }

    #[test]
    fn enqueue_answers_arrive(answers in vec(nouns::enqueued(), 0..4)) {
        let encoded = enqueue::encode_answers(answers.clone());
        let response = sent(&pb::EnqueueResponse { answers: encoded });
        prop_assert_eq!(enqueue::decode_answers(response).unwrap(), answers);
    }

    #[test]
    fn wants_arrive(wants in vec(nouns::want(), 0..4)) {
        let encoded = wants.iter().map(lease::encode_want).collect();
        let request = sent(&pb::LeaseRequest { wants: encoded, wait_ms: 0 });
        prop_assert_eq!(lease::decode_wants(request.wants).unwrap(), wants);
    }

    #[test]
    fn leases_arrive(leases in vec(nouns::lease(), 0..4)) {
        let encoded = lease::encode_leases(&leases);
        let answer = sent(&pb::Leases { leases: encoded });
        let decoded = lease::decode_leases(answer.leases, &mut Names::default()).unwrap();
        prop_assert_eq!(decoded, leases);
    }

    #[test]
    fn beats_arrive(beats in vec(nouns::beat(), 0..4)) {
        let encoded = beats.iter().map(beat::encode_beat).collect();
        let request = sent(&pb::BeatRequest { beats: encoded });
        prop_assert_eq!(beat::decode_beats(request.beats).unwrap(), beats);
    }

    #[test]
    fn beat_answers_arrive(directive in nouns::directive(), picks in vec(0usize..3, 0..9)) {
        let held = picks.into_iter().map(|pick| [Held::Yes, Held::Cancel, Held::Stale][pick]);
        let reply = BeatReply { directive, held: held.collect() };
        let decoded = beat::decode_reply(Some(sent(&beat::encode_reply(&reply)))).unwrap();
        prop_assert_eq!(decoded, reply);
    }

    #[test]
    fn settlements_arrive(ends in vec(nouns::settlement(), 0..4)) {
        let encoded = settle::encode_settlements(&ends);
        let request = sent(&pb::SettleRequest { settlements: encoded });
        let decoded = settle::decode_settlements(request.settlements).unwrap();
        prop_assert_eq!(decoded, ends.into_iter().map(Ending::Decided).collect::<Vec<_>>());
    }

    #[test]
    fn settlement_answers_arrive(answers in vec(nouns::settled(), 0..4)) {
        let encoded = answers.iter().cloned().map(settle::encode_settled).collect();
        let response = sent(&pb::SettleResponse { answers: encoded });
        prop_assert_eq!(settle::decode_answers(response.answers).unwrap(), answers);
    }

    #[test]
    fn tasks_by_id_arrive(views in vec(proptest::option::of(nouns::view()), 0..3)) {
        let response = sent(&inspect::encode_found(&views));
        prop_assert_eq!(inspect::decode_found(response).unwrap(), views);
    }

    #[test]
    fn pages_arrive(tasks in vec(nouns::view(), 0..3), next in proptest::option::of(".{0,8}")) {
        let page = Page { tasks, next };
        let response = sent(&inspect::encode_page(page.clone()));
        prop_assert_eq!(inspect::decode_page(response).unwrap(), page);
    }

    #[test]
    fn queues_and_workers_arrive(
        queues in vec(nouns::stats(), 0..3),
        workers in vec(nouns::worker_view(), 0..3),
    ) {
        let told = queues.iter().map(inspect::encode_queue).collect();
        let told = pb::QueuesResponse { queues: told };
        prop_assert_eq!(inspect::decode_queues(sent(&told)).unwrap(), queues);
        let told =
            pb::WorkersResponse { workers: workers.iter().map(inspect::encode_worker).collect() };
        prop_assert_eq!(inspect::decode_workers(sent(&told)).unwrap(), workers);
    }

    #[test]
    fn settings_and_their_changes_arrive(
        queue in nouns::queue(),
        patch in nouns::patch(),
        settings in nouns::settings(),
        refusal in nouns::refusal(),
    ) {
        let request = sent(&control::encode_configure(&queue, &patch));
        prop_assert_eq!(control::decode_configure(request).unwrap(), (queue, patch));
        let told = pb::ConfigureResponse { settings: Some(control::encode_settings(&settings)) };
        prop_assert_eq!(control::decode_configured(sent(&told)).unwrap(), settings);
        let mut answers = vec![Changed::NotFound, Changed::Refused(refusal)];
        answers.extend(State::ALL.map(Changed::Done));
        let told = sent(&control::encode_changed(answers.clone()));
        prop_assert_eq!(control::decode_changed(told).unwrap(), answers);
    }

    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(request) = pb::EnqueueRequest::decode(bytes.as_slice()) {
            drop(enqueue::decode_tasks(request));
        }
        if let Ok(request) = pb::SettleRequest::decode(bytes.as_slice()) {
            drop(settle::decode_settlements(request.settlements));
        }
        if let Ok(request) = pb::BeatRequest::decode(bytes.as_slice()) {
            drop(beat::decode_beats(request.beats));
        }
    }
}

#[test]
fn capabilities_arrive() {
    let told = Capabilities::full("embedded", Durability::D2);
    assert_eq!(capabilities::decode(sent(&capabilities::encode(told.clone()))).unwrap(), told);
}

#[test]
fn a_task_with_every_default_costs_little_more_than_what_it_says() {
    let id = haulier_core::TaskId::from_bytes([7; 16]);
    let kind = haulier_core::Kind::new("email.send").unwrap();
    let new = haulier_core::NewTask::new(id, kind, haulier_core::Payload::json("x".repeat(200)));
    let bytes = enqueue::encode_tasks(&[new])[0].encoded_len();
    assert!(bytes <= 18 + 9 + 12 + 203 + 3, "{bytes} bytes");
}
