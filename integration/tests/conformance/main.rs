//! What every source promises the pipeline, stated once and asked of each: of the one in memory, which daemons are tested on, and of
//! Kafka's, which they run on. A daemon that is right on the one is right on the other only as far as both pass here.
//!
//! A statement is a generic function over a [`Fixture`](fixture::Fixture), in a file for its theme; `conforms!` makes all of them
//! tests of one fixture. What must hold at every step of each, the [`Driver`](driver::Driver) asserts.

/// Every statement as a test of this fixture, by its own name, in the module where this stands. A statement that isn't listed is
/// reported as unused.
macro_rules! conforms {
    ($fixture:ty) => {
        conforms! { $fixture, delivery:
            an_assignment_comes_before_its_records
            a_partitions_records_come_in_order
            records_are_brought_as_they_are_written
            no_poll_brings_more_records_than_its_demand
            bytes_are_kept_to_as_documented
            a_partition_without_room_stops_no_other
            idle_comes_at_the_timeout_and_not_before
            a_poll_that_is_dropped_loses_nothing
        }
        conforms! { $fixture, contents:
            keys_and_values_come_as_written
            headers_come_as_written
            records_outlive_their_source
        }
        conforms! { $fixture, ends:
            ends_are_told_and_reach_the_end
        }
        conforms! { $fixture, handover:
            a_revoked_partition_is_handed_on_once_that_is_completed
            a_rebalance_skips_no_record
            a_dropped_revocation_gives_its_partitions_up
            a_revocation_that_nobody_completes_ends_at_its_deadline
            a_new_owner_hears_of_its_partition_in_the_middle_of_a_poll
            each_assignment_has_an_epoch_of_its_own
            a_member_that_closes_leaves_its_partitions_at_once
            a_member_without_partitions_that_closes_holds_up_nobody
            a_member_without_partitions_that_closes_in_a_rebalance_gets_none
        }
        conforms! { $fixture, seeking:
            a_partition_goes_on_where_it_was_asked_to
            a_partition_goes_on_at_a_time
            a_seek_is_done_once_its_place_is_committed
            a_second_seek_follows_the_first
            a_place_that_is_not_there_changes_nothing
            a_partition_of_another_member_is_left_alone
            a_seek_that_nobody_drains_is_done_at_its_deadline
        }
        conforms! { $fixture, patterns:
            a_topic_that_appears_is_found_by_its_pattern
            topics_for_dead_letters_are_found_by_no_pattern
            a_topic_that_two_patterns_match_is_refused
        }
        conforms! { $fixture, commits:
            a_commit_is_read_back_by_the_next_owner
            what_is_finished_already_is_not_due_again
            a_partition_on_its_way_out_can_be_committed
            a_commit_of_an_assignment_that_is_over_changes_nothing
            a_source_that_is_closed_commits_nothing
        }
    };
    ($fixture:ty, $theme:ident: $($statement:ident)*) => {
        $(
            #[tokio::test]
            async fn $statement() {
                crate::$theme::$statement::<$fixture>().await;
            }
        )*
    };
}

mod commits;
mod contents;
mod delivery;
mod driver;
mod ends;
mod fixture;
mod handover;
mod kafka;
mod memory;
mod patterns;
mod seeking;
