//! Rights and users, as librdkafka's admin interface changes them.

use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rdkafka::bindings::{self as raw, rd_kafka_AclOperation_t as RawOperation};
use rdkafka::bindings::{
    rd_kafka_AclPermissionType_t as Permission, rd_kafka_ResourcePatternType_t as Pattern,
    rd_kafka_ResourceType_t as Kind, rd_kafka_ScramMechanism_t as RawMechanism, rd_kafka_admin_op_t as Question,
};
use rdkafka::error::IsError as _;

/// What a right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To read a topic; to be a member of a group.
    Read,
    /// To write to a topic.
    Write,
    /// To create a topic.
    Create,
    /// To see a topic, or a group.
    Describe,
}

/// What a right is on; a name stands for itself only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// What a transactional producer calls itself.
    TransactionalId,
}

/// How a password is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// Its name in `sasl.mechanism`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// A right of a user's.
#[derive(Debug)]
pub(crate) struct Access<'a> {
    pub(crate) user: &'a str,
    pub(crate) operation: Operation,
    pub(crate) resource: Resource,
    pub(crate) name: &'a str,
}

impl Access<'_> {
    fn binding(&self, make: MakeBinding) -> Result<Binding> {
        let (name, principal) = (CString::new(self.name)?, CString::new(format!("User:{}", self.user))?);
        let operation = match self.operation {
            Operation::Read => RawOperation::RD_KAFKA_ACL_OPERATION_READ,
            Operation::Write => RawOperation::RD_KAFKA_ACL_OPERATION_WRITE,
            Operation::Create => RawOperation::RD_KAFKA_ACL_OPERATION_CREATE,
            Operation::Describe => RawOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
        };
        let resource = match self.resource {
            Resource::Topic => Kind::RD_KAFKA_RESOURCE_TOPIC,
            Resource::Group => Kind::RD_KAFKA_RESOURCE_GROUP,
            Resource::TransactionalId => Kind::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
        };
        // SAFETY: all strings are C strings that live through the call, which copies them; no room for an error is given.
        let binding = unsafe {
            make(
                resource,
                name.as_ptr(),
                Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                principal.as_ptr(),
                c"*".as_ptr(),
                operation,
                Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
                ptr::null_mut(),
                0,
            )
        };
        NonNull::new(binding).map(Binding).context("librdkafka takes no such right")
    }
}

type MakeBinding = unsafe extern "C" fn(
    Kind,
    *const c_char,
    Pattern,
    *const c_char,
    *const c_char,
    RawOperation,
    Permission,
    *mut c_char,
    usize,
) -> *mut raw::rd_kafka_AclBinding_t;

struct Binding(NonNull<raw::rd_kafka_AclBinding_t>);

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: it is ours, and a request has its own copy.
        unsafe { raw::rd_kafka_AclBinding_destroy(self.0.as_ptr()) }
    }
}

/// Adds a right.
pub(crate) fn grant(client: *mut raw::rd_kafka_t, access: &Access<'_>, deadline: Duration) -> Result<()> {
    let binding = access.binding(raw::rd_kafka_AclBinding_new)?;
    let mut bindings = [binding.0.as_ptr()];
    // SAFETY: the bindings are live and copied within the call.
    let ask = |options, queue| unsafe { raw::rd_kafka_CreateAcls(client, bindings.as_mut_ptr(), 1, options, queue) };
    let answer = Answer::to(client, Question::RD_KAFKA_ADMIN_OP_CREATEACLS, deadline, ask)?;
    // SAFETY: the event is the answer to such a request; what is read of it is its own, and copied before it goes.
    unsafe {
        let result = raw::rd_kafka_event_CreateAcls_result(answer.0.as_ptr());
        let mut count = 0;
        let results = raw::rd_kafka_CreateAcls_result_acls(result, &raw mut count);
        (0..count).try_for_each(|index| check(raw::rd_kafka_acl_result_error(*results.add(index))))
    }
}

/// Whether the broker that is asked knows of a right.
pub(crate) fn is_granted(client: *mut raw::rd_kafka_t, access: &Access<'_>, deadline: Duration) -> Result<bool> {
    let filter = access.binding(raw::rd_kafka_AclBindingFilter_new)?;
    // SAFETY: as in `grant`.
    let ask = |options, queue| unsafe { raw::rd_kafka_DescribeAcls(client, filter.0.as_ptr(), options, queue) };
    let answer = Answer::to(client, Question::RD_KAFKA_ADMIN_OP_DESCRIBEACLS, deadline, ask)?;
    // SAFETY: as in `grant`.
    let count = unsafe {
        let result = raw::rd_kafka_event_DescribeAcls_result(answer.0.as_ptr());
        let mut count = 0;
        raw::rd_kafka_DescribeAcls_result_acls(result, &raw mut count);
        count
    };
    Ok(count > 0)
}

/// Takes a right away; answers how many there were.
pub(crate) fn withdraw(client: *mut raw::rd_kafka_t, access: &Access<'_>, deadline: Duration) -> Result<usize> {
    let filter = access.binding(raw::rd_kafka_AclBindingFilter_new)?;
    let mut filters = [filter.0.as_ptr()];
    // SAFETY: as in `grant`.
    let ask = |options, queue| unsafe { raw::rd_kafka_DeleteAcls(client, filters.as_mut_ptr(), 1, options, queue) };
    let answer = Answer::to(client, Question::RD_KAFKA_ADMIN_OP_DELETEACLS, deadline, ask)?;
    // SAFETY: as in `grant`.
    unsafe {
        let result = raw::rd_kafka_event_DeleteAcls_result(answer.0.as_ptr());
        let (mut count, mut matching) = (0, 0);
        let responses = raw::rd_kafka_DeleteAcls_result_responses(result, &raw mut count);
        let mut deleted = 0;
        for index in 0..count {
            let response = *responses.add(index);
            check(raw::rd_kafka_DeleteAcls_result_response_error(response))?;
            raw::rd_kafka_DeleteAcls_result_response_matching_acls(response, &raw mut matching);
            deleted += matching;
        }
        Ok(deleted)
    }
}

/// Gives a user a password.
pub(crate) fn set_password(
    client: *mut raw::rd_kafka_t,
    user: &str,
    mechanism: Mechanism,
    password: &str,
    deadline: Duration,
) -> Result<()> {
    /// The least that a broker takes.
    const ITERATIONS: i32 = 4096;
    let name = CString::new(user)?;
    let mechanism = match mechanism {
        Mechanism::ScramSha256 => RawMechanism::RD_KAFKA_SCRAM_MECHANISM_SHA_256,
        Mechanism::ScramSha512 => RawMechanism::RD_KAFKA_SCRAM_MECHANISM_SHA_512,
    };
    // SAFETY: name and password live through the call, which copies them; without a salt librdkafka takes a random one.
    let change = unsafe {
        raw::rd_kafka_UserScramCredentialUpsertion_new(
            name.as_ptr(),
            mechanism,
            ITERATIONS,
            password.as_ptr(),
            password.len(),
            ptr::null(),
            0,
        )
    };
    let mut changes = [change];
    // SAFETY: the change is live and copied within the call.
    let ask = |options, queue| unsafe {
        raw::rd_kafka_AlterUserScramCredentials(client, changes.as_mut_ptr(), 1, options, queue);
    };
    let answer = Answer::to(client, Question::RD_KAFKA_ADMIN_OP_ALTERUSERSCRAMCREDENTIALS, deadline, ask);
    // SAFETY: it is ours, and the request has its own copy.
    unsafe { raw::rd_kafka_UserScramCredentialAlteration_destroy(change) };
    let answer = answer?;
    // SAFETY: as in `grant`.
    unsafe {
        let result = raw::rd_kafka_event_AlterUserScramCredentials_result(answer.0.as_ptr());
        let mut count = 0;
        let responses = raw::rd_kafka_AlterUserScramCredentials_result_responses(result, &raw mut count);
        let error = |index| raw::rd_kafka_AlterUserScramCredentials_result_response_error(*responses.add(index));
        (0..count).try_for_each(|index| check(error(index)))
    }
}

/// The event that answers an admin request.
struct Answer(NonNull<raw::rd_kafka_event_t>);

impl Answer {
    /// Asks, and waits for the answer.
    fn to(
        client: *mut raw::rd_kafka_t,
        question: Question,
        deadline: Duration,
        ask: impl FnOnce(*const raw::rd_kafka_AdminOptions_t, *mut raw::rd_kafka_queue_t),
    ) -> Result<Self> {
        let millis = i32::try_from(deadline.as_millis())?;
        // SAFETY: the client is live; options and queue are ours until they are destroyed, here, and the request doesn't keep them.
        // The answer, if it comes, is ours; one that comes later goes with the queue.
        let event = unsafe {
            let options = raw::rd_kafka_AdminOptions_new(client, question);
            raw::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
            let queue = raw::rd_kafka_queue_new(client);
            ask(options, queue);
            let event = raw::rd_kafka_queue_poll(queue, millis);
            raw::rd_kafka_queue_destroy(queue);
            raw::rd_kafka_AdminOptions_destroy(options);
            event
        };
        let answer = NonNull::new(event).map(Self).context("the broker did not answer in time")?;
        // SAFETY: the event is live; the text is its own.
        let (code, text) = unsafe { (raw::rd_kafka_event_error(event), raw::rd_kafka_event_error_string(event)) };
        if code.is_error() {
            // SAFETY: as above.
            bail!("{}", unsafe { CStr::from_ptr(text) }.to_string_lossy());
        }
        Ok(answer)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nothing of it is kept.
        unsafe { raw::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
/// `error` is null, or one that lives through the call.
unsafe fn check(error: *const raw::rd_kafka_error_t) -> Result<()> {
    // SAFETY: as the caller promises. Some results hold an error that says there is none.
    if error.is_null() || !unsafe { raw::rd_kafka_error_code(error) }.is_error() {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(raw::rd_kafka_error_string(error)) };
    Err(anyhow!("{}", text.to_string_lossy()))
}
