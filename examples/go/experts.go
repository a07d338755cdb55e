package moe

// #include <moe.h>
import "C"

// Window says which steps expert statistics are about.
type Window int32

const (
	LastStep   Window = C.MOE_WINDOW_LAST_STEP   // the last committed training step
	SinceReset Window = C.MOE_WINDOW_SINCE_RESET // since [Session.ResetStats], or since the epoch began inside a run
	Lifetime   Window = C.MOE_WINDOW_LIFETIME    // all training steps, also those before a resume
	LastEval   Window = C.MOE_WINDOW_LAST_EVAL   // the last evaluation
)

// LayerInfo is what is fixed about one mixture layer.
type LayerInfo struct {
	Experts int
	TopK    int    // experts per token, at most
	Classes int    // rows of the class table; 0: the layer keeps none
	Name    string // module path, "decoder.gate"
	Kind    string // "class_partitioned", "ffn"
	Unit    string // what a token is: "image", "query" ...
}

// ExpertStat is one expert in one window.
type ExpertStat struct {
	Tokens         int64   // assignments by the router
	Computed       int64   // tokens really computed: assignments plus those that supervision added, minus dropped ones
	Dropped        int64   // assignments over capacity
	Share          float64 // tokens / sum of tokens over experts; 1/E at balance
	ActivationRate float64 // tokens / tokens seen by the layer; k/E at balance
	GateMean       float64 // mean gate weight when chosen
	Importance     float64 // mean router probability over all tokens
}

// LayerStat is one layer in one window; moe.h gives the formulas. Every number is 0 in an empty window.
type LayerStat struct {
	DeadExperts       int // experts with no token
	Tokens            int64
	Assignments       int64
	TokenEntropy      float64 // 0 certain, 1 undecided
	MarginalEntropy   float64 // 1 when all experts are used alike
	LoadCV            float64 // standard deviation / mean of assignments per expert; 0 at balance
	MaxViolation      float64 // largest load / mean load - 1; 0 at balance
	Dropped           int64   // assignments over capacity
	Unrouted          int64   // tokens that no expert computed
	MutualInformation float64 // between token and expert
	Gini              float64 // of the assignments per expert; 0 at balance
	DominantShare     float64 // largest share of an expert
	Confidence        float64 // mean of a token's largest probability
	Margin            float64 // mean of a token's largest minus its second largest probability
	ClassNMI          float64 // normalised mutual information of class and expert
}

// LayerCount is the number of mixture layers; 0 for a dense model.
func (s *Session) LayerCount() (int, error) {
	var count C.int32_t
	err := call(func() C.moe_status { return C.moe_session_layer_count(s.ptr, &count) }, s.handle())
	return int(count), err
}

// LayerInfo tells about layer `layer`, 0 to LayerCount() - 1.
func (s *Session) LayerInfo(layer int) (LayerInfo, error) {
	c := C.moe_layer_info{struct_size: C.sizeof_moe_layer_info}
	err := call(func() C.moe_status { return C.moe_session_layer_info(s.ptr, c32(layer), &c) }, s.handle())
	return LayerInfo{
		Experts: int(c.experts), TopK: int(c.top_k), Classes: int(c.classes),
		Name: C.GoString(&c.name[0]), Kind: C.GoString(&c.kind[0]), Unit: C.GoString(&c.unit[0]),
	}, err
}

// ExpertName is the label of an expert, such as "car" or "vehicles".
func (s *Session) ExpertName(layer, expert int) (string, error) {
	return readText(func(buffer *C.char, capacity C.size_t, needed *C.size_t) C.moe_status {
		return C.moe_session_expert_name(s.ptr, c32(layer), c32(expert), buffer, capacity, needed)
	}, s.handle())
}

// ExpertStats gives one entry per expert.
func (s *Session) ExpertStats(layer int, window Window) ([]ExpertStat, error) {
	found, err := readArray(func(items *C.moe_expert_stat, capacity C.size_t, count *C.size_t) C.moe_status {
		return C.moe_session_expert_stats(s.ptr, c32(layer), C.int32_t(window), items, capacity, count)
	}, s.handle())
	stats := make([]ExpertStat, len(found))
	for i, c := range found {
		stats[i] = ExpertStat{
			Tokens: int64(c.tokens), Computed: int64(c.computed), Dropped: int64(c.dropped), Share: float64(c.share),
			ActivationRate: float64(c.activation_rate), GateMean: float64(c.gate_mean), Importance: float64(c.importance),
		}
	}
	return stats, err
}

// LayerStat gives the numbers of the layer as a whole.
func (s *Session) LayerStat(layer int, window Window) (LayerStat, error) {
	c := C.moe_layer_stat{struct_size: C.sizeof_moe_layer_stat}
	err := call(func() C.moe_status {
		return C.moe_session_layer_stats(s.ptr, c32(layer), C.int32_t(window), &c)
	}, s.handle())
	return LayerStat{
		DeadExperts: int(c.dead_experts), Tokens: int64(c.tokens), Assignments: int64(c.assignments),
		TokenEntropy: float64(c.token_entropy), MarginalEntropy: float64(c.marginal_entropy), LoadCV: float64(c.load_cv),
		MaxViolation: float64(c.max_violation), Dropped: int64(c.dropped), Unrouted: int64(c.unrouted),
		MutualInformation: float64(c.mutual_information), Gini: float64(c.gini), DominantShare: float64(c.dominant_share),
		Confidence: float64(c.confidence), Margin: float64(c.margin), ClassNMI: float64(c.class_nmi),
	}, err
}

// ClassRouting counts how often a token of class y went to expert e: entry y * experts + e.
func (s *Session) ClassRouting(layer int, window Window) ([]int64, error) {
	return counts(readArray(func(items *C.int64_t, capacity C.size_t, count *C.size_t) C.moe_status {
		return C.moe_session_class_routing(s.ptr, c32(layer), C.int32_t(window), items, capacity, count)
	}, s.handle()))
}

// Coactivation counts how many tokens chose both experts a and b: entry a * experts + b, symmetric; the diagonal holds each
// expert's own tokens.
func (s *Session) Coactivation(layer int, window Window) ([]int64, error) {
	return counts(readArray(func(items *C.int64_t, capacity C.size_t, count *C.size_t) C.moe_status {
		return C.moe_session_coactivation(s.ptr, c32(layer), C.int32_t(window), items, capacity, count)
	}, s.handle()))
}

func counts(found []C.int64_t, err error) ([]int64, error) {
	out := make([]int64, len(found))
	for i, count := range found {
		out[i] = int64(count)
	}
	return out, err
}

// ResetStats starts the window [SinceReset] anew for every layer.
func (s *Session) ResetStats() error {
	return call(func() C.moe_status { return C.moe_session_stats_reset(s.ptr) }, s.handle())
}
