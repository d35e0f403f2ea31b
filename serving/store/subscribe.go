package store

import "sync"

// subscribers are those who want to hear of changes, by key.
type subscribers struct {
	mu    sync.Mutex
	byKey map[string]map[*Subscription]struct{}
}

func (s *subscribers) init() { s.byKey = map[string]map[*Subscription]struct{}{} }

// Subscription is told of changes of some keys; several changes that nobody has
// looked at yet are one.
type Subscription struct {
	C    chan struct{}
	subs *subscribers
	keys []string
}

// Subscribe returns a subscription without keys; Close it.
func (s *Store) Subscribe() *Subscription {
	return &Subscription{C: make(chan struct{}, 1), subs: &s.subs}
}

// Watch replaces the keys. Activation changes are told to all who watch one.
func (u *Subscription) Watch(keys ...string) {
	s := u.subs
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range u.keys {
		delete(s.byKey[k], u)
		if len(s.byKey[k]) == 0 {
			delete(s.byKey, k)
		}
	}
	u.keys = append(u.keys[:0], keys...)
	for _, k := range keys {
		if s.byKey[k] == nil {
			s.byKey[k] = map[*Subscription]struct{}{}
		}
		s.byKey[k][u] = struct{}{}
	}
}

// Close ends the subscription.
func (u *Subscription) Close() { u.Watch() }

func (u *Subscription) wake() {
	select {
	case u.C <- struct{}{}:
	default:
	}
}

func (s *subscribers) changed(key string) {
	s.mu.Lock()
	for u := range s.byKey[key] {
		u.wake()
	}
	s.mu.Unlock()
}

func (s *subscribers) all() {
	s.mu.Lock()
	for _, us := range s.byKey {
		for u := range us {
			u.wake()
		}
	}
	s.mu.Unlock()
}
