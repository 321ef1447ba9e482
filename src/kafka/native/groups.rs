//! What the brokers say of groups: who is in one, what it has committed. And commits for a group from outside. The binding can't ask.

use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{ClientContext, TopicPartitionList};
use sys::rd_kafka_admin_op_t as Kind;
use sys::rd_kafka_consumer_group_state_t as State;
use sys::rd_kafka_consumer_group_type_t as Type;

use super::asked::{Asked, code_of};
use super::rights::{Operation, may};
use super::{Committed, read_list};
use crate::kafka::groups::{GroupMember, GroupPhase, GroupState};
use crate::record::TopicPartition;

/// Who is in a group, and what it is at.
pub(in crate::kafka) fn group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    patience: Duration,
) -> Result<GroupState, Code> {
    let name = CString::new(group).map_err(|_| Code::InvalidGroupId)?;
    let mut names = [name.as_ptr()];
    let asked =
        Asked::of(client, Kind::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, patience, |client, options, queue| {
            // SAFETY: all are live; the request copies the one name. A refused wish for rights is told by an error that is ours to destroy, or
            // else by null, which may be "destroyed" too.
            unsafe {
                sys::rd_kafka_error_destroy(sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
                sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), 1, options, queue);
            }
        })?;
    let mut count = 0;
    // SAFETY: the event is live and without an error, so it has a result of the kind that was asked for. That holds `count` pointers to
    // descriptions, which live as long as the event; all that is read of them is copied before it goes.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(asked.as_ptr());
        if result.is_null() {
            return Err(Code::Fail);
        }
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if count == 0 {
            return Err(Code::GroupIdNotFound);
        }
        describe(*groups)
    }
}

/// # Safety
/// `group` is a live description.
unsafe fn describe(group: *const sys::rd_kafka_ConsumerGroupDescription_t) -> Result<GroupState, Code> {
    let mut rights = 0;
    // SAFETY: the description is live, and so is all that it holds. Its state and its type are numbers that librdkafka knows: it makes
    // them of names itself.
    unsafe {
        if let Some(code) = code_of(sys::rd_kafka_ConsumerGroupDescription_error(group)) {
            return Err(code);
        }
        let phase = match sys::rd_kafka_ConsumerGroupDescription_state(group) {
            State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE
            | State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => GroupPhase::Rebalancing,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => GroupPhase::Stable,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => GroupPhase::Empty,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => GroupPhase::Dead,
            _ => GroupPhase::Unknown,
        };
        let is_consumer =
            matches!(sys::rd_kafka_ConsumerGroupDescription_type(group), Type::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER);
        let operations = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(group, &raw mut rights);
        let is_told = !operations.is_null() && rights > 0;
        let members = (0..sys::rd_kafka_ConsumerGroupDescription_member_count(group))
            .map(|index| member(sys::rd_kafka_ConsumerGroupDescription_member(group, index)));
        Ok(GroupState {
            phase,
            is_consumer,
            members: members.collect(),
            may_read: is_told.then(|| may(operations, rights, Operation::RD_KAFKA_ACL_OPERATION_READ)),
        })
    }
}

/// # Safety
/// `member` is a live description.
unsafe fn member(member: *const sys::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: the description is live. Its texts are C strings or null; its assignment may be null, and so may the list in it.
    unsafe {
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let partitions: Vec<TopicPartition> = match assignment.is_null() {
            true => Vec::new(),
            false => {
                let list = sys::rd_kafka_MemberAssignment_partitions(assignment);
                read_list(list).into_iter().map(|element| element.place).collect()
            }
        };
        GroupMember {
            id: text(sys::rd_kafka_MemberDescription_consumer_id(member)).unwrap_or_default(),
            client: text(sys::rd_kafka_MemberDescription_client_id(member)).unwrap_or_default(),
            instance: text(sys::rd_kafka_MemberDescription_group_instance_id(member)).filter(|id| !id.is_empty()),
            host: text(sys::rd_kafka_MemberDescription_host(member)).unwrap_or_default(),
            partitions,
        }
    }
}

/// # Safety
/// `text` is null or a live C string.
unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: as the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// Everything that a group has committed.
pub(in crate::kafka) fn commits<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    patience: Duration,
) -> Result<Vec<Committed>, Code> {
    let name = CString::new(group).map_err(|_| Code::InvalidGroupId)?;
    let asked =
        Asked::of(client, Kind::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, patience, |client, options, queue| {
            // SAFETY: all are live. The question is ours; no list means all partitions. The request copies it.
            unsafe {
                let mut question = sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), std::ptr::null());
                sys::rd_kafka_ListConsumerGroupOffsets(client, &raw mut question, 1, options, queue);
                sys::rd_kafka_ListConsumerGroupOffsets_destroy(question);
            }
        })?;
    let mut count = 0;
    // SAFETY: as in `group`: the event is live, its result is of the kind that was asked for, and nothing of it is kept.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(asked.as_ptr());
        if result.is_null() {
            return Err(Code::Fail);
        }
        of_result(sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count), count)
    }
}

/// Commits these offsets for a group that has no members; answers with what became of each.
pub(in crate::kafka) fn commit<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    offsets: &TopicPartitionList,
    patience: Duration,
) -> Result<Vec<Committed>, Code> {
    let name = CString::new(group).map_err(|_| Code::InvalidGroupId)?;
    let asked =
        Asked::of(client, Kind::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, patience, |client, options, queue| {
            // SAFETY: all are live, the list too; the wish is ours, and has a copy of it. The request copies the wish.
            unsafe {
                let mut wish = sys::rd_kafka_AlterConsumerGroupOffsets_new(name.as_ptr(), offsets.ptr());
                sys::rd_kafka_AlterConsumerGroupOffsets(client, &raw mut wish, 1, options, queue);
                sys::rd_kafka_AlterConsumerGroupOffsets_destroy(wish);
            }
        })?;
    let mut count = 0;
    // SAFETY: as in `commits`.
    unsafe {
        let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(asked.as_ptr());
        if result.is_null() {
            return Err(Code::Fail);
        }
        of_result(sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count), count)
    }
}

/// What the first of these groups, the only one that was asked for, has.
///
/// # Safety
/// There are `count` pointers to live results.
unsafe fn of_result(groups: *mut *const sys::rd_kafka_group_result_t, count: usize) -> Result<Vec<Committed>, Code> {
    if count == 0 {
        return Err(Code::GroupIdNotFound);
    }
    // SAFETY: as the caller promises, there is one. Its error may be null, and so may its list.
    unsafe {
        let group = *groups;
        match code_of(sys::rd_kafka_group_result_error(group)) {
            Some(code) => Err(code),
            None => Ok(read_list(sys::rd_kafka_group_result_partitions(group))),
        }
    }
}
