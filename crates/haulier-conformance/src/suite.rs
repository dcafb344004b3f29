//! The list of cases, and the macros that turn it into tests. `tests/it` proves that the list is
//! complete.

/// Hands the list to an arm of `__cases!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_cases {
    ($($arm:tt)*) => {
        $crate::__cases! { $($arm)*;
            beat {
                checkpoints_come_with_the_next_delivery,
                a_checkpoint_keeps_its_first_value,
                a_superseded_holder_saves_nothing,
                a_beat_with_an_old_and_a_new_key_saves_for_the_new_one,
                progress_is_shown_as_it_was_told_last,
                a_long_progress_note_is_cut,
                checkpoints_beyond_the_limit_fail_the_call_and_change_nothing,
                checkpoints_may_have_as_many_bytes_as_the_limit,
                no_beat_renews_a_lease_past_the_timeout_and_its_grace,
                a_lease_longer_than_the_timeout_is_kept_but_not_renewed,
                beats_are_answered_in_their_order,
                a_lease_that_is_not_listed_is_left_alone,
            }
            bounds {
                a_store_says_what_it_can_keep,
                a_payload_may_be_as_large_as_the_limit_and_no_larger,
                a_result_may_be_as_large_as_the_limit_and_no_larger,
                every_limit_of_a_task_holds_at_the_limit_and_refuses_one_above,
                a_call_carries_as_many_items_as_the_limit_and_no_more,
                a_want_keeps_to_its_limits,
                a_beat_keeps_to_the_limits_of_a_ttl,
            }
            cancel {
                a_pending_task_is_cancelled_at_once_and_never_leased,
                a_running_holder_learns_of_it_at_its_next_beat,
                a_completion_after_a_cancellation_is_refused,
                a_holder_may_cancel_by_itself,
                a_cancelled_task_whose_lease_runs_out_is_cancelled,
                a_holder_that_goes_on_loses_its_lease_when_the_grace_is_over,
                cancelling_twice_is_answered_twice,
                a_finished_task_cannot_be_cancelled,
                a_cancellation_outlives_reopening,
                a_cancellation_and_a_lease_that_meet_agree,
                cancellations_are_answered_in_their_order,
            }
            control {
                a_rerun_task_has_all_its_attempts_again,
                only_final_tasks_are_rerun,
                a_rerun_forgets_result_progress_and_checkpoints,
                a_rerun_task_stands_at_the_end_of_its_line,
                any_task_that_does_not_run_is_deleted,
                a_deleted_task_stays_away_after_reopening,
            }
            enqueue {
                an_enqueued_task_is_stored_and_delivered_byte_for_byte,
                every_delivery_carries_its_own_payload,
                a_repeated_enqueue_gives_the_same_task,
                the_same_id_with_other_work_is_a_conflict,
                duplicates_within_a_batch_meet_each_other_in_order,
                a_repeated_enqueue_tells_where_the_task_stands,
                the_same_work_said_differently_changes_nothing,
                the_id_of_a_removed_task_is_remembered,
                the_id_of_a_removed_task_is_free_again_after_the_dedup_window,
                ids_are_known_after_reopening,
                callers_with_one_id_store_one_task,
                a_refused_task_never_runs_and_its_id_stays_free,
                answers_stand_in_the_order_of_the_request,
                an_acknowledgement_says_how_durable_the_task_is,
                acknowledged_tasks_are_there_after_reopening,
                an_empty_call_gets_an_empty_answer,
            }
            fence {
                a_superseded_key_can_neither_beat_nor_settle,
                a_settled_task_stays_as_it_is_when_its_lease_would_have_run_out,
                a_lease_lasts_its_ttl_and_then_passes_on,
                a_beat_moves_the_end_of_a_lease,
                a_late_settlement_is_accepted_and_marked,
                a_late_failure_is_tried_again_after_its_pause,
                a_beat_on_a_lease_that_ran_out_is_stale,
                a_late_settlement_of_a_task_that_went_on_is_stale,
                an_unknown_key_is_stale,
                callers_who_settle_one_lease_get_one_answer,
                a_lease_lasts_its_full_ttl_after_reopening,
                a_lease_that_nobody_keeps_runs_out_after_reopening,
                epochs_rise_across_reopening,
                a_key_of_a_forgotten_task_does_not_fit_its_namesake,
                a_late_settlement_is_accepted_after_reopening,
                a_short_beat_shortens_a_lease_and_a_long_one_takes_it_back,
            }
            inspect {
                tasks_are_shown_in_the_order_of_their_ids_in_the_request,
                large_parts_are_shown_only_if_asked_for,
                a_running_task_shows_its_holder,
                a_waiting_get_answers_when_every_task_is_final,
                a_waiting_get_ends_when_its_wait_is_over,
                a_listing_shows_every_task_once_newest_first,
                a_listing_stands_still_while_tasks_come_and_go,
                a_listing_shows_what_its_filter_matches,
                a_page_that_finds_nothing_says_where_to_go_on,
                a_page_holds_a_bounded_number_of_bytes,
                a_page_holds_one_task_however_large_it_is,
                a_page_that_cannot_be_is_refused,
                the_states_add_up_to_what_was_accepted,
                the_states_add_up_after_many_callers,
                a_queue_shows_how_long_its_oldest_task_is_available,
                what_was_seen_is_still_there_after_reopening,
                queues_are_listed_by_name,
            }
            lease {
                a_leased_task_is_leased_to_nobody_else,
                callers_of_one_task_get_it_once,
                a_lease_says_which_attempt_it_is_and_how_long_it_lasts,
                equal_priorities_come_in_the_order_of_their_enqueueing,
                higher_priorities_come_first,
                a_want_gets_no_more_than_it_asks_for,
                a_want_takes_only_its_kinds,
                a_want_takes_only_its_queues,
                equal_priorities_are_taken_from_queues_in_turn,
                the_highest_priority_over_all_queues_comes_first,
                many_queues_are_served_by_one_want,
                shares_stand_in_the_order_of_the_wants,
                every_delivery_has_a_larger_epoch,
                a_waiting_worker_gets_a_task_as_soon_as_it_is_there,
                a_waiting_worker_gets_a_delayed_task_when_it_is_due,
                a_waiting_worker_gets_a_task_whose_lease_ran_out,
                a_waiting_worker_gets_what_others_make_ready,
                a_wait_without_tasks_ends_with_empty_hands,
                a_wait_that_is_given_up_loses_no_task,
            }
            queues {
                nothing_of_a_paused_queue_is_leased,
                a_pause_leaves_running_tasks_alone,
                a_queue_runs_no_more_than_its_concurrency,
                a_waiting_worker_gets_the_place_that_becomes_free,
                a_full_queue_refuses_and_drops_nothing,
                a_batch_fills_a_queue_up_to_its_limit,
                a_full_queue_knows_its_tasks,
                a_queue_may_be_closed_for_new_tasks,
                settings_are_changed_one_by_one_and_kept,
                reading_settings_leaves_no_trace,
                a_setting_out_of_range_is_refused,
                a_lowered_limit_drops_nothing,
            }
            retention {
                finished_tasks_are_kept_for_their_default_times,
                a_queue_says_how_long_its_finished_tasks_are_kept,
                a_task_says_how_long_it_is_kept,
                a_queue_keeps_only_so_many_completed_tasks,
                the_id_of_a_pruned_task_is_remembered,
                a_task_that_is_not_final_is_kept_for_ever,
                retention_goes_on_across_reopening,
            }
            retry {
                a_failed_task_is_tried_again_after_its_pause_and_not_before,
                attempts_never_exceed_their_maximum,
                a_failure_without_a_retry_is_the_last,
                a_task_whose_leases_run_out_five_times_is_dead,
                losses_and_attempts_are_counted_across_reopening,
                no_poisonous_task_blocks_its_queue,
                dead_tasks_stand_in_nobodys_way,
                a_pause_lasts_across_reopening,
                an_exhausted_task_is_kept_with_its_failures,
            }
            settle {
                a_completed_task_keeps_its_result_byte_for_byte,
                a_repeated_settlement_gets_the_same_answer_whatever_it_says,
                an_old_answer_outlives_later_deliveries,
                deliveries_are_remembered_up_to_their_limit,
                a_rejected_task_is_dead_at_once,
                a_released_task_is_available_at_once_and_costs_no_attempt,
                a_snoozed_task_comes_back_after_its_delay_and_costs_no_attempt,
                a_delay_of_zero_is_over_at_once,
                a_task_that_comes_back_stands_at_the_end_of_its_line,
                a_refused_outcome_leaves_the_lease_as_it_was,
                settlements_are_answered_in_their_order,
                a_settlement_of_a_task_that_is_gone_is_stale,
                every_delivery_is_on_record,
            }
            sharing {
                scarce_tasks_are_shared_out_evenly,
                who_waits_longest_comes_first,
                a_new_worker_comes_first,
                a_worker_that_asks_twice_gets_no_more,
                waiting_workers_share_what_comes,
                equal_workers_get_equal_shares_over_time,
            }
            timers {
                a_delayed_task_is_not_leased_before_its_time,
                a_task_starts_at_its_calendar_time,
                a_delay_lasts_across_reopening,
                a_time_in_the_past_is_now,
                tasks_come_into_line_in_the_order_of_their_due_times,
                a_task_that_does_not_start_in_time_expires,
                a_task_that_started_does_not_expire,
                a_rerun_task_does_not_expire_again,
                a_calendar_that_jumps_forward_ends_no_lease,
                a_calendar_that_jumps_back_takes_no_time_back,
            }
            unique {
                a_second_task_with_the_key_gets_the_first_one,
                a_second_task_is_refused_if_it_asks_for_that,
                a_second_task_replaces_one_that_has_not_started,
                a_task_that_has_started_is_not_replaced,
                a_replacement_takes_the_place_of_the_one_it_replaces,
                a_key_is_free_when_its_task_is_final,
                a_key_until_start_is_free_when_its_task_has_started,
                a_key_is_held_for_its_window_whatever_becomes_of_its_task,
                a_key_within_its_window_outlives_the_completed_count,
                a_key_is_held_beyond_its_window_while_its_task_is_pending,
                a_key_counts_within_its_queue_only,
                callers_with_one_key_store_one_task,
                keys_within_a_batch_meet_each_other_in_order,
                a_key_is_held_across_reopening,
                the_id_is_looked_at_before_the_key,
                a_deleted_task_holds_no_key,
                a_rerun_task_holds_its_key_again,
            }
            workers {
                workers_are_known_from_wants_and_beats,
                a_worker_shows_how_many_leases_it_holds,
                a_silent_worker_is_forgotten_when_it_holds_nothing,
                no_more_workers_are_listed_than_the_limit,
                a_directive_comes_with_the_next_beat,
                a_watching_worker_is_told_of_a_cancellation,
                a_watching_worker_is_told_of_a_directive,
                a_watching_worker_is_not_told_what_it_knows,
                a_beat_keeps_the_leases_that_it_lists,
            }
        }
    };
}

/// One `#[tokio::test]` for each case of the contract, in a module for each noun.
///
/// ```
/// use haulier_conformance::MemoryRig;
/// haulier_conformance::suite!(MemoryRig);
/// # fn main() {}
/// ```
///
/// The crate that calls it needs `tokio` with `macros` and `rt-multi-thread` among its
/// dev-dependencies.
#[macro_export]
macro_rules! suite {
    ($rig:ty) => {
        $crate::__with_cases! { tests $rig }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    (tests $rig:ty; $($file:ident { $($case:ident,)* })*) => {
        $(
            mod $file {
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        let mut rig = <$rig as $crate::Rig>::fresh().await;
                        $crate::cases::$file::$case(&mut rig).await;
                    }
                )*
            }
        )*
    };
    (names; $($file:ident { $($case:ident,)* })*) => {
        &[$($((stringify!($file), stringify!($case)),)*)*]
    };
}

/// Every case: its file and its name.
pub const CASES: &[(&str, &str)] = __with_cases! { names };
