package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Resources that rights are about, as kafka-acls.sh names them.
const (
	Topic           = "topic"
	Group           = "group"
	TransactionalID = "transactional-id"
)

// Right is what an ACL allows: an operation (Read, Write, Create, Delete, Alter,
// Describe, DescribeConfigs) on a resource.
type Right struct{ Operation, Resource, Name string }

func (r Right) String() string {
	return fmt.Sprintf("%s on the %s %q", r.Operation, r.Resource, r.Name)
}

// DeniedError names the rights that the log refuses.
type DeniedError struct {
	Missing []Right
	Err     error // what was refused; nil: nothing was tried yet
}

func (e *DeniedError) Error() string {
	var list []string
	for _, r := range e.Missing {
		list = append(list, r.String())
	}
	text := fmt.Sprintf("%s lacks rights in the log: %s; allow them (kafka-acls.sh --add --allow-principal … --operation … ), as docs/operations.md lists them", who(), strings.Join(list, ", "))
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *DeniedError) Unwrap() error { return e.Err }

// Name says which of the rights it was that an error is about; errors that are about
// none are explained as Explain does.
func Name(ctx context.Context, brokers []string, rights []Right, err error) error {
	var denied *DeniedError
	if !Refuses(err) || errors.As(err, &denied) {
		return Explain(err)
	}
	ctx, cancel := context.WithTimeout(ctx, nameWithin)
	defer cancel()
	missing, _ := Missing(ctx, brokers, rights) // what was found before an error is missing all the same
	if len(missing) == 0 {
		return Explain(err)
	}
	return &DeniedError{missing, err}
}

const nameWithin = 10 * time.Second

// Missing asks the log which of the rights this client lacks. What a log does not tell
// (those before Kafka 2.3, and some that only speak its protocol) is not among them, nor is
// what can only be tried: Create on a topic that is there is not needed.
func Missing(ctx context.Context, brokers []string, rights []Right) ([]Right, error) {
	cl, err := New(brokers)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	a := asker{cl: cl, of: map[[2]string][]Right{}}
	var topics []string
	for _, r := range rights {
		at := [2]string{r.Resource, r.Name}
		if r.Resource == Topic && a.of[at] == nil {
			topics = append(topics, r.Name)
		}
		a.of[at] = append(a.of[at], r)
	}
	if err := a.topics(ctx, topics); err != nil {
		return nil, Explain(err)
	}
	for at := range a.of {
		switch at[0] {
		case Group:
			err = a.group(ctx, at[1])
		case TransactionalID:
			err = a.transactions(ctx, at[1])
		}
		if err != nil {
			return a.missing, Explain(err)
		}
	}
	slices.SortFunc(a.missing, func(x, y Right) int { return slices.Index(rights, x) - slices.Index(rights, y) })
	return a.missing, nil
}

// asker asks for the rights on each resource.
type asker struct {
	cl      *kgo.Client
	of      map[[2]string][]Right
	missing []Right
}

// untold is the protocol's sign that nothing is said about rights.
const untold = math.MinInt32

// bits are the protocol's numbers of operations.
var bits = map[string]int{"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Alter": 7, "Describe": 8, "DescribeConfigs": 10}

// lacks notes what a set of operations has not; nil: none is said to be allowed.
func (a *asker) lacks(resource, name string, may func(operation string) bool) {
	for _, r := range a.of[[2]string{resource, name}] {
		if !may(r.Operation) {
			a.missing = append(a.missing, r)
		}
	}
}

func (a *asker) topics(ctx context.Context, names []string) error {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	res, err := req.RequestWith(ctx, a.cl)
	if err != nil {
		return err
	}
	for _, t := range res.Topics {
		switch kerr.ErrorForCode(t.ErrorCode) {
		case kerr.TopicAuthorizationFailed:
			// Who has Read, Write, Delete or Alter may describe, too: all of them are missing. Whether
			// it is there nobody says.
			a.lacks(Topic, *t.Topic, func(op string) bool { return op == "Create" || op == "DescribeConfigs" })
		case kerr.UnknownTopicOrPartition:
			if err := a.creates(ctx, *t.Topic); err != nil {
				return err
			}
		case nil:
			if t.AuthorizedOperations != untold {
				a.lacks(Topic, *t.Topic, func(op string) bool { return op == "Create" || t.AuthorizedOperations&(1<<bits[op]) != 0 })
			}
		}
	}
	return nil
}

// creates asks whether a topic that is not there may be made.
func (a *asker) creates(ctx context.Context, name string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.ValidateOnly = true
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, -1, -1
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(ctx, a.cl)
	if err != nil {
		return err
	}
	for _, t := range res.Topics {
		if Refuses(kerr.ErrorForCode(t.ErrorCode)) {
			a.lacks(Topic, name, func(op string) bool { return op != "Create" })
		}
	}
	return nil
}

func (a *asker) group(ctx context.Context, name string) error {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{name}, true
	res, err := req.RequestWith(ctx, a.cl)
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		a.lacks(Group, name, func(string) bool { return false })
		return nil
	case err != nil:
		return err
	}
	for _, g := range res.Groups {
		if errors.Is(kerr.ErrorForCode(g.ErrorCode), kerr.GroupAuthorizationFailed) {
			a.lacks(Group, name, func(string) bool { return false })
			return nil
		}
	}
	// Of a group that is not there yet nothing is said; who may not read it is told so before that.
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group, beat.MemberID, beat.Generation = name, "nobody", -1
	answer, err := beat.RequestWith(ctx, a.cl)
	if err != nil {
		return err
	}
	if errors.Is(kerr.ErrorForCode(answer.ErrorCode), kerr.GroupAuthorizationFailed) {
		a.lacks(Group, name, func(op string) bool { return op != "Read" })
	}
	return nil
}

// transactions asks by ending a transaction that nobody has: its owner notices nothing.
func (a *asker) transactions(ctx context.Context, id string) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = id, math.MaxInt64, 0
	res, err := req.RequestWith(ctx, a.cl)
	if err == nil {
		err = kerr.ErrorForCode(res.ErrorCode)
	}
	if errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
		a.lacks(TransactionalID, id, func(string) bool { return false })
		return nil
	}
	var code *kerr.Error
	if errors.As(err, &code) {
		return nil // it is not ours to end
	}
	return err
}
