//! A trial of a configuration: clients are made of it that know no broker, so that nobody is connected to.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use super::config::{ConfigError, ConfigFault, KafkaConfig};

impl KafkaConfig {
    /// Everything for which clients made of it would be refused, at once: unknown properties and wrong values, files that can't be
    /// read, what this program was built without. Connects to nobody.
    ///
    /// ```
    /// use daemonry::kafka::KafkaConfig;
    ///
    /// let config = KafkaConfig::new("", "shop").property("fetch.min.bytes", "many");
    /// let faults = config.check().unwrap_err().faults;
    /// assert_eq!(faults[0].setting, "brokers");
    /// assert_eq!(faults[1].setting, "fetch.min.bytes");
    /// ```
    ///
    /// # Errors
    /// One [`ConfigFault`] for each.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut faults = self.faults();
        // What a client is refused for once it is made may only follow from what is known to be wrong.
        let make_it = faults.is_empty();
        for (properties, make) in [
            (self.consumer_properties(), consumer as fn(&ClientConfig) -> Option<KafkaError>),
            (self.producer_properties(), producer),
        ] {
            let mut properties = properties;
            // What is known to be wrong with one is not said once more in the client's words.
            faults.iter().for_each(|fault| {
                properties.remove(&fault.setting);
            });
            for fault in self.refusals(properties, make_it.then_some(make)) {
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(ConfigError { faults }) }
    }

    /// Which of these properties are refused, one by one; if none is, what `make` is refused.
    fn refusals(
        &self,
        mut properties: ClientConfig,
        make: Option<fn(&ClientConfig) -> Option<KafkaError>>,
    ) -> Vec<ConfigFault> {
        properties.remove("bootstrap.servers");
        // Told before, and the client would not say which one; those of fields end it.
        self.properties().filter(|(key, value)| key.contains('\0') || value.contains('\0')).for_each(|(key, _)| {
            properties.remove(key);
        });
        let mut faults = Vec::new();
        while let Some(error) = properties.create_native_config().err() {
            if matches!(error, KafkaError::Nul(_)) {
                return faults;
            }
            faults.extend(self.refused(&error).faults);
            match error {
                // Without it, the others can be looked at.
                KafkaError::ClientConfig(_, _, key, _) if properties.get(&key).is_some() => {
                    properties.remove(&key);
                }
                _ => return faults,
            }
        }
        if let (Some(make), true) = (make, faults.is_empty()) {
            faults.extend(make(&properties).iter().flat_map(|error| self.refused(error).faults));
        }
        faults
    }
}

/// Whether the Kafka client was built with this feature, such as `ssl`.
pub(crate) fn is_built_with(feature: &str) -> bool {
    let features = ClientConfig::new().create_native_config().and_then(|native| native.get("builtin.features"));
    features.is_ok_and(|features| features.split(',').any(|built| built == feature))
}

fn consumer(properties: &ClientConfig) -> Option<KafkaError> {
    properties.create_with_context::<_, BaseConsumer<Silent>>(Silent).err()
}

fn producer(properties: &ClientConfig) -> Option<KafkaError> {
    properties.create_with_context::<_, BaseProducer<Silent>>(Silent).err()
}

/// Says nothing: what a client without brokers complains of is no news.
#[derive(Clone)]
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Silent {}

impl ProducerContext for Silent {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &rdkafka::producer::DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_work_passes() {
        KafkaConfig::new("localhost:9092", "g").property("fetch.min.bytes", "1").check().expect("it can");
    }

    #[test]
    fn everything_that_the_client_refuses_is_told_once_and_without_secrets() {
        let config = KafkaConfig::new("localhost:9092", "g")
            .property("fetch.min.bytes", "many")
            .property("socket.keepalive.enable", "perhaps")
            .property("no.such.property", "1")
            .property("sasl.password", "\0hush")
            .secret_property("client.rack", "\0hush");
        let faults = config.check().expect_err("five").faults;
        let settings: Vec<_> = faults.iter().map(|fault| fault.setting.as_str()).collect();
        assert_eq!(settings.len(), 5, "{faults:?}");
        assert!(!format!("{faults:?}{config:?}").contains("hush"), "{faults:?} {config:?}");
    }

    #[test]
    fn file_that_can_not_be_read_is_told() {
        let config = KafkaConfig::new("localhost:9092", "g")
            .property("security.protocol", "sasl_plaintext")
            .property("sasl.mechanisms", "PLAIN")
            .property("ssl.ca.location", "nowhere/ca.pem");
        config.check().expect_err("neither a user nor an authority");
    }
}
