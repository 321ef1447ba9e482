//! Where partitions begin, end, or were at a time: of all of them in one go, which the binding asks one by one.

use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{ClientContext, TopicPartitionList};

use super::asked::Asked;
use super::{Committed, read_element};

/// Whose records an end counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Isolation {
    /// All that are written.
    Uncommitted,
    /// Those before the first that a transaction has not ended yet.
    Committed,
}

/// The offsets that the list asks for: -2 for the first, -1 for the end, else that of the first record of this time, in milliseconds since
/// 1970, or later; none where there is no such record. The partitions must differ and have leaders, or nothing is answered at all.
/// Leaders are asked side by side: of a partition whose leader says nothing in this time there is neither an offset nor an error.
pub(in crate::kafka) fn offsets<C: ClientContext>(
    client: &Client<C>,
    list: &TopicPartitionList,
    isolation: Isolation,
    patience: Duration,
) -> Result<Vec<Committed>, Code> {
    let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
    let asked = Asked::of(client, kind, patience, |client, options, queue| {
        let isolation = match isolation {
            Isolation::Uncommitted => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
            Isolation::Committed => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        };
        // SAFETY: all are live, the list too; the request copies it, and the options. An error would be one of ours: the level is one of
        // theirs, and the options are of this kind. It is null otherwise, which may be given back too.
        unsafe {
            sys::rd_kafka_error_destroy(sys::rd_kafka_AdminOptions_set_isolation_level(options, isolation));
            sys::rd_kafka_ListOffsets(client, list.ptr(), options, queue);
        }
    })?;
    let mut count = 0;
    // SAFETY: the event is live and without an error, so it has a result of the kind that was asked for. That holds `count` pointers to
    // answers, each with an element, all of which live as long as the event; what is read of them is copied before it goes.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(asked.as_ptr());
        if result.is_null() {
            return Err(Code::Fail);
        }
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let answers = (0..count).map(|index| {
            let element = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index));
            read_element(element)
        });
        Ok(answers.collect())
    }
}
