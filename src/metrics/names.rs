//! Every metric's name, with what it says. `docs/metrics.md` is made from it.

/// A metric's name and what it says.
pub(super) type Name = (&'static str, &'static str);

pub(super) const BUILD: Name = ("daemonry_build_info", "1, with the version of daemonry as its label.");
pub(super) const MESSAGES: Name = (
    "daemon_messages_processed_total",
    "Records by how they ended (success, dead_lettered, skipped: once a record), and attempts (failed, retried: once an attempt).",
);
pub(super) const PROCESSING: Name = ("daemon_processing_duration_seconds", "How long one attempt of a handler took.");
pub(super) const QUEUE_DEPTH: Name = ("daemon_queue_depth", "Records in the lanes: ready and running.");
pub(super) const QUEUE_BYTES: Name = ("daemon_queue_bytes", "Bytes of keys and values of the records in the lanes.");
pub(super) const QUEUE_CAPACITY: Name = ("daemon_queue_capacity", "How many records the lanes take.");
pub(super) const PARKED_RECORDS: Name =
    ("daemon_parked_records", "Records that wait for a retry, with their lane's successors.");
pub(super) const PARKED_BYTES: Name = ("daemon_parked_bytes", "Bytes of keys and values of the parked records.");
pub(super) const WORKERS: Name = ("daemon_workers", "How many workers may run records.");
pub(super) const WORKERS_MIN: Name = ("daemon_workers_min", "How many workers there are at least.");
pub(super) const WORKERS_MAX: Name = ("daemon_workers_max", "How many workers there are at most.");
pub(super) const SCALING: Name = (
    "daemon_scaling_decisions_total",
    "Decisions about the number of workers, one a second where it follows what there is to do: where it went, and what everything waited for.",
);
pub(super) const WORKERS_BUSY: Name = ("daemon_workers_busy", "Workers that run records now.");
pub(super) const IN_FLIGHT: Name = ("daemon_in_flight", "Handlers that run now, overdue and timed-out ones included.");
pub(super) const OVERDUE_TOTAL: Name =
    ("daemon_handlers_overstayed_total", "Handlers that ran past their timeout without ending, each once.");
pub(super) const OVERDUE: Name = ("daemon_handlers_overdue", "Handlers that run past their timeout and haven't ended.");
pub(super) const LAG_MESSAGES: Name = (
    "daemon_lag_messages",
    "Offsets from the partition's oldest unfinished record to its end, known to 10 s also while it is not read.",
);
pub(super) const LAG_SECONDS: Name = (
    "daemon_lag_seconds",
    "Age of the partition's oldest unfinished record; where it was not read yet, how long at least the partition has been behind.",
);
pub(super) const OLDEST_UNFINISHED: Name =
    ("daemon_oldest_unfinished_seconds", "How long ago the oldest unfinished record was read.");
pub(super) const PARTITIONS: Name = ("daemon_partitions_assigned", "Partitions that are assigned now.");
pub(super) const ON_PROBATION: Name = (
    "daemon_partitions_on_probation",
    "Partitions whose records run one at a time, as the process has ended without warning.",
);
pub(super) const RETRIES: Name = ("daemon_retries_total", "Retries that were scheduled.");
pub(super) const DEAD_LETTERS: Name =
    ("daemon_dead_letters_total", "Acknowledged dead letters, by how the last attempt failed.");
pub(super) const DEAD_LETTER_FAILURES: Name =
    ("daemon_dead_letter_failures_total", "Dead letters that could not be published, each time.");
pub(super) const COMMITS: Name = ("daemon_commits_total", "Commits, by what came of them.");
pub(super) const COMMIT_DURATION: Name =
    ("daemon_commit_duration_seconds", "How long a commit took until it was acknowledged or had failed.");
pub(super) const UNCOMMITTED: Name = (
    "daemon_uncommitted_records",
    "Finished records that no acknowledged commit covers yet: they would run again after a crash.",
);
pub(super) const WINDOW: Name = (
    "daemon_window_records",
    "Offsets above the oldest unfinished record that need no work any more: commits remember them in their metadata.",
);
pub(super) const METADATA: Name =
    ("daemon_commit_metadata_bytes", "Metadata of the largest commit that was acknowledged last, of all partitions.");
pub(super) const REBALANCES: Name = ("daemon_rebalances_total", "Changes of the assignment, by kind.");
pub(super) const RESETS: Name = (
    "daemon_resets_total",
    "Partitions that went on elsewhere, each time, by what happened: their next offset was gone, their log was cut below what was read of it, or their topic was made anew.",
);
pub(super) const MISSED_OFFSETS: Name = (
    "daemon_missed_offsets_total",
    "Offsets that were lost by that, as far as they can be counted: passed over unread; of a log that was cut also those that had been read and are gone.",
);
pub(super) const RESTARTS: Name = ("daemon_restarts_total", "Restarts of the daemon after a failure.");
pub(super) const STATE: Name = ("daemon_state", "1 for the state that the daemon is in, 0 for each other one.");
pub(super) const BACKPRESSURE: Name =
    ("daemon_backpressure_active", "1 while reading is held back because the lanes are full.");
pub(super) const BACKPRESSURE_CHANGES: Name =
    ("daemon_backpressure_changes_total", "How often backpressure went on or off.");
pub(super) const STALLED: Name = (
    "daemon_partition_stalled",
    "1 while records of the partition wait and nothing of it was processed for as long as `stall_after` says.",
);
pub(super) const HELD: Name = ("daemon_partitions_held", "Partitions that aren't read now, by reason.");
pub(super) const BREAKER_OPEN: Name = (
    "daemon_circuit_breaker_open",
    "1 while the route of this topic, or of the pattern of this text, is held back because whatever it is given fails.",
);
pub(super) const BREAKER_CHANGES: Name = (
    "daemon_circuit_breaker_changes_total",
    "Changes of a route's circuit breaker, by what it became; `open` also each time that the record that was tried failed.",
);
pub(super) const FORGOTTEN_RUNS: Name = (
    "daemon_forgotten_runs_total",
    "Runs of finished records that no longer fitted a commit and would run again after a crash.",
);

pub(super) const PROCESS_CPU: Name =
    ("process_cpu_seconds_total", "Processor time that the process has used, its own and the system's for it.");
pub(super) const PROCESS_MEMORY: Name = ("process_resident_memory_bytes", "Memory of the process that is in RAM.");
pub(super) const PROCESS_THREADS: Name = ("process_threads", "Threads of the process.");
pub(super) const PROCESS_FILES: Name = ("process_open_fds", "Open files and connections of the process.");
pub(super) const PROCESS_START: Name = ("process_start_time_seconds", "When the process was started, as Unix time.");

/// Of a daemon's metrics.
pub(super) const DAEMON: &str = "daemon_name";
/// Of those of a partition.
pub(super) const TOPIC: &str = "topic";
/// As above.
pub(super) const PARTITION: &str = "partition";
