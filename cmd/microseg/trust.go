package main

import (
	"log/slog"
	"os"

	"github.com/microseg/microseg/config"
	"github.com/microseg/microseg/serving/collect"
	"github.com/microseg/microseg/serving/node"
)

// trustNotes say what a site's settings mean for who may say who a visitor is. Keys
// are looked for where a collector runs, which is not where a pipeline does.
func trustNotes(cfg *config.Config, collector bool) (notes []string) {
	id := &cfg.Identity
	if cfg.Unchecked() {
		return []string{"identity.verification is off: anybody with the public write key may say who a visitor is; take the setting out, and set " + node.EnvServerKeys + " or " + node.EnvIdentityKeys}
	}
	if collector && os.Getenv(node.EnvServerKeys) == "" && os.Getenv(node.EnvIdentityKeys) == "" && id.JWT.Algorithm == "" {
		notes = append(notes, "nothing can prove a userId: there are no persons across devices, and no server events by userId alone; set "+
			node.EnvServerKeys+" for your servers, and "+node.EnvIdentityKeys+" or identity.jwt for pages")
	}
	if id.LegacyUntil == "" {
		notes = append(notes, "identity.legacy_until is not stated: links from before proofs count for ever; state the day from which they do not")
	}
	if cfg.Source.Rekey == "on" && cfg.Source.Trust == "" {
		notes = append(notes, "source.trust is not stated and others write to the topic: userIds of records that no collector has judged are claims; state verified if only your own systems can write there, else public")
	}
	return notes
}

// warnTrust logs the notes, one a line, when a program starts.
func warnTrust(cfg *config.Config, collector bool) {
	for _, n := range trustNotes(cfg, collector) {
		slog.Warn("identity", "note", n)
	}
}

// trustHealth is what a node tells of userIds since it began. It fails no check.
type trustHealth struct {
	Verification string   `json:"verification"`
	Server       uint64   `json:"server"`          // with a server key
	Proven       uint64   `json:"proven"`          // with a good proof
	Claimed      uint64   `json:"claimed"`         // with the public key alone
	Refused      uint64   `json:"refused"`         // of the claimed: with a proof that is none
	Notes        []string `json:"notes,omitempty"` // also of who a client is
}

func newTrustHealth(cfg *config.Config, i collect.Identified, more ...string) *trustHealth {
	h := &trustHealth{cfg.Identity.Verification, i.Server, i.Proven, i.Claimed, i.Refused, trustNotes(cfg, true)}
	if !cfg.Unchecked() && i.Claimed > 0 && i.Server == 0 && i.Proven == 0 {
		h.Notes = append(h.Notes, "identity.verification is signed, and no proof has ever been seen since this node began: every userId is a claim")
	}
	h.Notes = append(h.Notes, more...)
	return h
}

// lines are the notes of /healthz.
func (h *trustHealth) lines() (out []string) {
	for _, n := range h.Notes {
		out = append(out, "note: "+n)
	}
	return out
}
