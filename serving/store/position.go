package store

// Next is the offset that the node reads next of a partition of the topic.
func (s *Store) Next(partition int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.behind[partition]; p != nil {
		return p.next
	}
	return 0
}
