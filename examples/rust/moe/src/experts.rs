//! What every mixture layer of a session did.
use crate::call::{array, call, text};
use crate::error::{Error, Result, Status, from_chars};
use crate::session::Session;
use moe_sys as sys;
use ndarray::Array2;

/// The steps that a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// The last committed training step.
    LastStep,
    /// Training steps since [`Session::reset_stats`], or since the epoch began inside a run.
    SinceReset,
    /// All training steps, also those before a resume.
    Lifetime,
    /// The last evaluation.
    LastEval,
}

impl Window {
    fn code(self) -> i32 {
        match self {
            Self::LastStep => sys::MOE_WINDOW_LAST_STEP,
            Self::SinceReset => sys::MOE_WINDOW_SINCE_RESET,
            Self::Lifetime => sys::MOE_WINDOW_LIFETIME,
            Self::LastEval => sys::MOE_WINDOW_LAST_EVAL,
        }
    }
}

/// Facts about one mixture layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Module path, "decoder.gate".
    pub name: String,
    /// "class_partitioned", "ffn".
    pub kind: String,
    /// What the layer routes: "image", "query" ...
    pub unit: String,
    /// Labels of the experts, such as "car" or "vehicles".
    pub experts: Vec<String>,
    /// Experts per token, at most.
    pub top_k: usize,
    /// Rows of the class table; 0: the layer keeps none.
    pub classes: usize,
}

/// One expert in one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertStat {
    /// Assignments by the router.
    pub tokens: i64,
    /// Tokens really computed: assignments plus those that supervision added, minus dropped ones.
    pub computed: i64,
    /// Assignments over capacity.
    pub dropped: i64,
    /// Of all assignments; 1/E at balance.
    pub share: f64,
    /// Tokens by tokens seen by the layer; k/E at balance.
    pub activation_rate: f64,
    /// Mean gate weight when chosen.
    pub gate_mean: f64,
    /// Mean router probability over all tokens.
    pub importance: f64,
}

/// One layer in one window. Entropies are divided by ln E, so that they lie between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerStat {
    /// Tokens seen by the router.
    pub tokens: i64,
    /// Assignments, all experts together.
    pub assignments: i64,
    /// Assignments over capacity.
    pub dropped: i64,
    /// Tokens that no expert computed.
    pub unrouted: i64,
    /// Experts with no token.
    pub dead_experts: i32,
    /// Mean entropy of a token's distribution: 0 certain, 1 undecided.
    pub token_entropy: f64,
    /// Entropy of the mean distribution: 1 when all experts are used alike.
    pub marginal_entropy: f64,
    /// Between token and expert; 1 when certain and balanced.
    pub mutual_information: f64,
    /// Standard deviation by mean of assignments per expert; 0 at balance.
    pub load_cv: f64,
    /// Largest load by mean load, minus 1; 0 at balance.
    pub max_violation: f64,
    /// Of the assignments per expert; 0 at balance.
    pub gini: f64,
    /// Largest share of an expert; 0.8 and more is a collapse.
    pub dominant_share: f64,
    /// Mean of a token's largest probability.
    pub confidence: f64,
    /// Mean of a token's largest minus its second largest probability.
    pub margin: f64,
    /// Normalised mutual information of class and expert.
    pub class_nmi: f64,
}

impl Session {
    /// The mixture layers; none for a dense model. `layer` below is an index here.
    pub fn layers(&self) -> Result<Vec<LayerInfo>> {
        let mut count = 0;
        // SAFETY: the handle is alive.
        call(|| unsafe { sys::moe_session_layer_count(self.raw(), &mut count) })?;
        (0..count).map(|layer| self.layer(layer)).collect()
    }

    fn layer(&self, layer: i32) -> Result<LayerInfo> {
        let mut info = sys::moe_layer_info::sized();
        // SAFETY: the handle is alive; `info` is a struct of the size that it says.
        call(|| unsafe { sys::moe_session_layer_info(self.raw(), layer, &mut info) })?;
        Ok(LayerInfo {
            name: from_chars(&info.name),
            kind: from_chars(&info.kind),
            unit: from_chars(&info.unit),
            experts: (0..info.experts).map(|expert| self.expert_name(layer, expert)).collect::<Result<_>>()?,
            top_k: info.top_k as usize,
            classes: info.classes as usize,
        })
    }

    fn expert_name(&self, layer: i32, expert: i32) -> Result<String> {
        // SAFETY: the handle is alive; the buffer is as large as its capacity says.
        text(|buffer, capacity, needed| unsafe {
            sys::moe_session_expert_name(self.raw(), layer, expert, buffer, capacity, needed)
        })
    }

    /// One entry per expert of the layer.
    pub fn expert_stats(&self, layer: usize, window: Window) -> Result<Vec<ExpertStat>> {
        let (layer, window) = (index(layer), window.code());
        // SAFETY: the handle is alive; the array is as long as its capacity says.
        let stats = array(|stats, capacity, count| unsafe {
            sys::moe_session_expert_stats(self.raw(), layer, window, stats, capacity, count)
        })?;
        Ok(stats.iter().map(expert_stat).collect())
    }

    /// Numbers of the layer as a whole.
    pub fn layer_stats(&self, layer: usize, window: Window) -> Result<LayerStat> {
        let mut stat = sys::moe_layer_stat::sized();
        // SAFETY: the handle is alive; `stat` is a struct of the size that it says.
        call(|| unsafe { sys::moe_session_layer_stats(self.raw(), index(layer), window.code(), &mut stat) })?;
        Ok(layer_stat(&stat))
    }

    /// Assignments, `[classes, E]`: how often a token of a class went to an expert.
    pub fn class_routing(&self, layer: usize, window: Window) -> Result<Array2<i64>> {
        let (raw, layer_index, window) = (self.raw(), index(layer), window.code());
        // SAFETY: the handle is alive; the array is as long as its capacity says.
        let counts = array(|counts, capacity, count| unsafe {
            sys::moe_session_class_routing(raw, layer_index, window, counts, capacity, count)
        })?;
        let rows = self.layer(layer_index)?.classes;
        table(rows, counts)
    }

    /// Tokens, `[E, E]` and symmetric: how many chose both experts; the diagonal holds each expert's own.
    pub fn coactivation(&self, layer: usize, window: Window) -> Result<Array2<i64>> {
        let (raw, layer_index, window) = (self.raw(), index(layer), window.code());
        // SAFETY: the handle is alive; the array is as long as its capacity says.
        let counts = array(|counts, capacity, count| unsafe {
            sys::moe_session_coactivation(raw, layer_index, window, counts, capacity, count)
        })?;
        let rows = self.layer(layer_index)?.experts.len();
        table(rows, counts)
    }

    /// Starts [`Window::SinceReset`] anew for every layer.
    pub fn reset_stats(&mut self) -> Result<()> {
        // SAFETY: the handle is alive.
        call(|| unsafe { sys::moe_session_stats_reset(self.raw()) })
    }
}

/// An index for C; one that does not fit is out of range there as well.
fn index(layer: usize) -> i32 {
    i32::try_from(layer).unwrap_or(i32::MAX)
}

fn table(rows: usize, counts: Vec<i64>) -> Result<Array2<i64>> {
    let columns = counts.len().checked_div(rows).unwrap_or(0);
    Array2::from_shape_vec((rows, columns), counts).map_err(|error| Error::new(Status::Internal, error.to_string()))
}

fn expert_stat(stat: &sys::moe_expert_stat) -> ExpertStat {
    let sys::moe_expert_stat { tokens, computed, dropped, share, activation_rate, gate_mean, importance } = *stat;
    ExpertStat { tokens, computed, dropped, share, activation_rate, gate_mean, importance }
}

fn layer_stat(stat: &sys::moe_layer_stat) -> LayerStat {
    LayerStat {
        tokens: stat.tokens,
        assignments: stat.assignments,
        dropped: stat.dropped,
        unrouted: stat.unrouted,
        dead_experts: stat.dead_experts,
        token_entropy: stat.token_entropy,
        marginal_entropy: stat.marginal_entropy,
        mutual_information: stat.mutual_information,
        load_cv: stat.load_cv,
        max_violation: stat.max_violation,
        gini: stat.gini,
        dominant_share: stat.dominant_share,
        confidence: stat.confidence,
        margin: stat.margin,
        class_nmi: stat.class_nmi,
    }
}
