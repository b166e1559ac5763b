//! What a vehicle says that it can do, as JSON of its version.

use hal_vda5050::{Topic, Version};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::setup::Drive;
use crate::tasks::Times;
use crate::vehicle::{Said, Vehicle};

impl Vehicle {
    /// What it can do.
    pub(crate) fn factsheet(&mut self, wall: Timestamp) -> Said {
        let header = json!(self.header(Topic::Factsheet, wall));
        let body = match self.version {
            Version::V2 => self.factsheet_2(),
            Version::V3 => self.factsheet_3(),
        };
        let mut fields = header;
        if let (Some(all), Json::Object(more)) = (fields.as_object_mut(), body) {
            all.extend(more);
        }
        Said { topic: Topic::Factsheet, text: fields.to_string() }
    }

    fn speeds(&self) -> (f64, f64, f64) {
        match self.setup.drive {
            Drive::Wheels(kinematics) => {
                (kinematics.speed_max.get(), kinematics.acceleration.get(), kinematics.deceleration.get())
            }
            Drive::Hops(hop) => (1.0 / hop.as_secs_f64().max(1e-3), 1.0, 1.0),
        }
    }

    fn factsheet_2(&self) -> Json {
        let (speed, acceleration, deceleration) = self.speeds();
        // The schema of 2.1 lets `blockingTypes` be nothing that is also a list: it is left out.
        let actions =
            Times::KNOWN.map(|action| json!({"actionType": action, "actionScopes": ["NODE", "EDGE"]}));
        json!({
            "typeSpecification": {
                "seriesName": "takt-sim", "agvKinematic": "DIFF", "agvClass": "CARRIER", "maxLoadMass": 600.0,
                "localizationTypes": ["NATURAL"], "navigationTypes": ["VIRTUAL_LINE_GUIDED"],
            },
            "physicalParameters": {
                "speedMin": 0.0, "speedMax": speed, "accelerationMax": acceleration,
                "decelerationMax": deceleration, "heightMax": 0.4, "width": 0.6, "length": 0.6,
            },
            "protocolLimits": {
                "maxStringLens": {"idLen": 64}, "maxArrayLens": {"order.nodes": 100, "order.edges": 99},
                "timing": {"minOrderInterval": 0.0, "minStateInterval": self.setup.state_pause.as_secs_f64()},
            },
            "protocolFeatures": {"optionalParameters": [], "agvActions": actions},
            "agvGeometry": {},
            "loadSpecification": {},
        })
    }

    fn factsheet_3(&self) -> Json {
        let (speed, acceleration, deceleration) = self.speeds();
        let actions = Times::KNOWN.map(|action| {
            json!({
                "actionType": action, "actionScopes": ["NODE", "EDGE"],
                "blockingTypes": ["NONE", "SOFT", "SINGLE", "HARD"], "pauseAllowed": true, "cancelAllowed": true,
            })
        });
        json!({
            "typeSpecification": {
                "seriesName": "takt-sim", "mobileRobotKinematics": "DIFFERENTIAL", "mobileRobotClass": "CARRIER",
                "maximumLoadMass": 600.0, "localizationTypes": ["NATURAL"],
                "navigationTypes": ["VIRTUAL_LINE_GUIDED"],
            },
            "physicalParameters": {
                "minimumSpeed": 0.0, "maximumSpeed": speed, "maximumAcceleration": acceleration,
                "maximumDeceleration": deceleration, "minimumHeight": 0.4, "maximumHeight": 0.4, "width": 0.6,
                "length": 0.6,
            },
            "protocolLimits": {
                "maximumStringLengths": {"maximumIdLength": 64},
                "maximumArrayLengths": {"order.nodes": 100, "order.edges": 99},
                "timing": {
                    "minimumOrderInterval": 0.0, "minimumStateInterval": self.setup.state_pause.as_secs_f64(),
                },
            },
            "protocolFeatures": {"optionalParameters": [], "mobileRobotActions": actions},
            "mobileRobotGeometry": {},
            "loadSpecification": {},
        })
    }
}
