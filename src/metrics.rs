//! The controller's metrics, in the text format of Prometheus.
//!
//! Knows no objects: labels are closed sets of words. Invariant: every metric is there from the
//! start, so that a rate can be taken before the first event.

use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramTimer, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// All counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    reconcile_seconds: Histogram,
    builds: IntCounterVec,
    build_seconds: Histogram,
    builds_active: IntGauge,
    publishes: IntCounterVec,
    images: IntGaugeVec,
    backoff: IntGauge,
    watch_errors: IntCounterVec,
}

impl Metrics {
    /// The content type of `text`.
    pub const CONTENT_TYPE: &'static str = prometheus::TEXT_FORMAT;

    /// All counters at zero, for this version of the program.
    pub fn new(version: &str) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let metrics = Self {
            registry: Registry::new(),
            reconciles: counters(
                "vmimage_reconcile_total",
                "Reconcile runs by outcome.",
                &["outcome"],
            )?,
            reconcile_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "vmimage_reconcile_duration_seconds",
                    "Duration of reconcile runs.",
                )
                .buckets(vec![
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                ]),
            )?,
            builds: counters(
                "vmimage_builds_total",
                "Ended builds by result and reason.",
                &["result", "reason"],
            )?,
            build_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "vmimage_build_duration_seconds",
                    "From a Job's creation to its success.",
                )
                .buckets(vec![
                    1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
                ]),
            )?,
            builds_active: IntGauge::new("vmimage_builds_active", "Jobs with a running pod.")?,
            publishes: counters(
                "vmimage_publish_total",
                "Targets that came to hold their content.",
                &["target", "result"],
            )?,
            images: IntGaugeVec::new(
                Opts::new("vmimage_images", "Images by readiness."),
                &["ready"],
            )?,
            backoff: IntGauge::new("vmimage_objects_in_backoff", "Images whose last run failed.")?,
            watch_errors: counters(
                "vmimage_watch_errors_total",
                "Interrupted watches by kind.",
                &["kind"],
            )?,
        };
        metrics.register(version)?;
        Ok(metrics)
    }

    fn register(&self, version: &str) -> Result<(), prometheus::Error> {
        let build_info = Gauge::with_opts(
            Opts::new("vmimage_build_info", "Always 1; the version is a label.")
                .const_label("version", version),
        )?;
        build_info.set(1.0);
        self.registry.register(Box::new(build_info))?;
        self.registry.register(Box::new(self.reconciles.clone()))?;
        self.registry.register(Box::new(self.reconcile_seconds.clone()))?;
        self.registry.register(Box::new(self.builds.clone()))?;
        self.registry.register(Box::new(self.build_seconds.clone()))?;
        self.registry.register(Box::new(self.builds_active.clone()))?;
        self.registry.register(Box::new(self.publishes.clone()))?;
        self.registry.register(Box::new(self.images.clone()))?;
        self.registry.register(Box::new(self.backoff.clone()))?;
        self.registry.register(Box::new(self.watch_errors.clone()))?;
        #[cfg(target_os = "linux")]
        self.registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        for outcome in ["ok", "error"] {
            self.reconciles.with_label_values(&[outcome]).inc_by(0);
        }
        self.builds.with_label_values(&["Succeeded", ""]).inc_by(0);
        self.publishes.with_label_values(&["pvc", "ok"]).inc_by(0);
        for kind in ["VMImage", "Job", "Pod", "PersistentVolumeClaim"] {
            self.watch_errors.with_label_values(&[kind]).inc_by(0);
        }
        self.images(0, 0, 0);
        Ok(())
    }

    /// Measures a reconcile run until the timer is dropped.
    pub fn reconcile_timer(&self) -> HistogramTimer {
        self.reconcile_seconds.start_timer()
    }

    /// Counts a reconcile run.
    pub fn reconciled(&self, outcome: &str) {
        self.reconciles.with_label_values(&[outcome]).inc();
    }

    /// Counts an ended build.
    pub fn build_ended(&self, result: &str, reason: &str) {
        self.builds.with_label_values(&[result, reason]).inc();
    }

    /// Notes how long a successful build took.
    pub fn build_took(&self, seconds: f64) {
        self.build_seconds.observe(seconds);
    }

    /// Counts a target that came to hold its content.
    pub fn published(&self, target: &str) {
        self.publishes.with_label_values(&[target, "ok"]).inc();
    }

    /// Counts an interrupted watch.
    pub fn watch_error(&self, kind: &str) {
        self.watch_errors.with_label_values(&[kind]).inc();
    }

    /// Sets how many images wait after an error.
    pub fn in_backoff(&self, count: usize) {
        self.backoff.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets how many images are ready and not, and how many builds run.
    pub fn images(&self, ready: usize, not_ready: usize, active: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.images.with_label_values(&["true"]).set(number(ready));
        self.images.with_label_values(&["false"]).set(number(not_ready));
        self.builds_active.set(number(active));
    }

    /// All metrics as text.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics cannot be encoded");
        }
        text
    }
}
