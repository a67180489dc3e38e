package audit

import "github.com/pawlhq/pawl/approval"

// Names are the people and agents whom a payload names as those who did what it records, or to whom it
// happened: who asked and who answers for that, who decided, withdrew, started, reported, or was kept out.
func Names(p Payload) []string {
	switch p := p.(type) {
	case Requested:
		return []string{p.Call.Requester, p.Call.Owner}
	case Blocked:
		if p.Call != nil {
			return []string{p.By, p.Call.Requester, p.Call.Owner}
		}
		return []string{p.By}
	case Decided:
		return []string{p.Decision.Reviewer}
	case Refused:
		var names []string
		for _, r := range p.Refused {
			names = append(names, r.Reviewer)
		}
		return names
	case Sent:
		return []string{p.Reviewer}
	case Claimed:
		return decider(p.Decision)
	case Started:
		return []string{p.By}
	case Reported:
		return []string{p.By}
	case Ended:
		return decider(p.Outcome.Decision)
	case Settled:
		return []string{p.Settled.By}
	case Erased:
		return []string{p.By}
	case Restored:
		return []string{p.By}
	case PolicyApplied:
		return []string{p.Policy.By}
	case TokenCreated:
		return []string{p.Token.CreatedBy, p.Token.Subject, p.Token.Owner}
	case TokenRevoked:
		return []string{p.RevokedBy}
	case TokensPruned:
		return []string{p.By}
	case KeyAdded:
		return []string{p.Key.CreatedBy}
	case KeyRetired:
		return []string{p.RetiredBy}
	case KeyRevoked:
		return []string{p.RevokedBy}
	case LogRenamed:
		return []string{p.RenamedBy}
	case SignInFailed:
		return []string{p.Subject}
	case Forbidden:
		return []string{p.By}
	}
	return nil
}

func decider(d *approval.FinalDecision) []string {
	if d == nil {
		return nil
	}
	return []string{d.By}
}
