package approval

import "time"

// What a reader may do about a call: values of You.May.
const (
	MayApprove = "approve"
	MayReject  = "reject"
)

// You is what one reader may do about a call. Its texts are finished sentences, made to be shown as
// they are: nobody has to work out groups or counts again.
type You struct {
	May       []string     `json:"may"`                  // never null
	Why       string       `json:"why,omitempty"`        // why approving is not among them
	IfApprove string       `json:"if_approve,omitempty"` // what an approval would do
	IfReject  string       `json:"if_reject,omitempty"`
	Voted     DecisionKind `json:"voted,omitempty"` // what the reader decided before, if it counts
}

// Segment is one thing that a call takes before it runs: an approval, or the run itself.
type Segment struct {
	State SegmentState `json:"state"`
	Label string       `json:"label"`
	Note  string       `json:"note,omitempty"`
	At    *time.Time   `json:"at,omitempty"` // when it was met
}

// SegmentState says how far a Segment is.
type SegmentState string

const (
	SegmentMet   SegmentState = "met"
	SegmentNext  SegmentState = "next"  // it can be met now
	SegmentLater SegmentState = "later" // others come before it
)
