package event

// video reads where the player is, and which play it is: by session_id, which
// Segment's and RudderStack's specifications give to all events of one play, else by
// the video (content_asset_id, asset_id).
func (r *record) video(e *Event) {
	e.X, _ = r.amount(pPosition)
	if id, ok := r.id(pSession); ok && len(id) > 0 {
		e.Item = hash(id)
	} else if id := r.asset(); len(id) > 0 {
		e.Item = hash(id)
	}
	if content[string(r.text(fEvent))] {
		e.Flags |= FlagContent
	}
}

// asset is the id of the video, of the first one where a play has several.
func (r *record) asset() (id []byte) {
	v := &r.vals[pAsset]
	switch {
	case !r.stated(pAsset):
	case v.scalar():
		id = v.b
	case v.container():
		eachElement(v.b, func(e *value) {
			if id == nil && e.scalar() {
				id = e.b
			}
		})
	}
	if len(id) > maxID {
		return nil
	}
	return id
}
