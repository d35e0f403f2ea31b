# microseg behind Varnish (7.1 or later, with varnish-modules): puts edge-side includes into the
# site's pages, and keeps pages, fragments and lookups of tokens, so that pages
# stay whole while a backend is slow or down. docs/edge.md explains it.
#
# In a page: <esi:include src="/esi/hero?page=home"/>, and the header
# Surrogate-Control: content="ESI/1.0"; without it nothing is parsed, so that
# text which a visitor wrote is never an include.
vcl 4.1;

import cookie;
import header; # of varnish-modules
import std;

# Where the pages come from.
backend site {
    .host = "127.0.0.1"; .port = "8080"; # site
}

# A serving node. The probe tells that it is down before a visitor has to wait.
backend microseg {
    .host = "127.0.0.1"; .port = "8080"; # node
    .connect_timeout = 1s;
    .first_byte_timeout = 2s;
    .probe = { .url = "/livez"; .interval = 1s; .timeout = 1s; .window = 3; .threshold = 2; .initial = 2; }
}

# X-Microseg-* headers are variables of a request here. None comes from a
# client (vcl_recv) and only the token goes to the node (vcl_backend_fetch).
#   State   offer: one that the visitor keeps; token: a token is looked up; fragment; page; pass
#   Key     what a fragment depends on, and nothing else
#   Old     the proof is from before the node was down
#   Fresh   what is in the cache is too old to be used before asking
#   Error   the status of the backend's failure: anything in the cache will do

sub vcl_recv {
    if (req.restarts > 0) {
        if (req.http.X-Microseg-Fresh || (req.http.X-Microseg-State == "token" && !req.http.X-Microseg-Error)) {
            set req.grace = 0s;
        }
        return (hash);
    }
    call microseg_distrust;
    set req.backend_hint = site;
    if (req.esi_level > 0 && req.url !~ "^/esi/") {
        return (synth(404)); # a page includes fragments and nothing else
    }
    if (req.url ~ "^/+(edge/)") {
        return (synth(404)); # between this cache and the node
    }
    if (req.url ~ "^/esi/") {
        set req.backend_hint = microseg;
        call microseg_fragment;
        if (req.http.X-Microseg-State == "offer") {
            return (pass);
        }
        return (hash);
    }
    # The patterns are those of serving/routes; a test compares them.
    if (req.url ~ "^/+(api/|beacon/+v1/|sourceConfig/*([?]|$)|v1/)"
        || (req.url ~ "^/+(engage/*([?]|$)|groups/*([?]|$)|import/*([?]|$)|track/*([?]|$))"
            && (req.url ~ "[?&]data=" || (req.method != "GET" && req.method != "HEAD")))) {
        # Personal, or to be written: never kept. Server-sent events stream.
        set req.backend_hint = microseg;
        set req.http.X-Microseg-State = "pass";
        return (pass);
    }
    if (req.url ~ "^/+(link[.]js/*([?]|$)|microseg[.]js/*([?]|$))") {
        set req.backend_hint = microseg;
    }
    call microseg_page;
}

# What the world must not tell any backend: where the request went, or that it was
# another one, and our own variables. Headers that are to go get a name of their own,
# since a line that is merely emptied would end the header.
sub microseg_distrust {
    header.regsub(req, "(?i)^(x-microseg-[^:]*|x-forwarded-(?!for:|proto:)[^:]*|x-original-[^:]*|x-rewrite-[^:]*|x-host|x-http-host-override|x-(http-)?method-override|x-http-method|x-(url-)?scheme|front-end-https|forwarded|surrogate-[^:]*):.*", "X-Microseg-Dropped: 1");
    unset req.http.X-Microseg-Dropped;
    # The scheme is one of two words, and in the key of pages.
    if (req.http.X-Forwarded-Proto ~ "(?i)^https *(,|$)") {
        set req.http.X-Forwarded-Proto = "https";
    } else {
        set req.http.X-Forwarded-Proto = "http";
    }
}

# What is kept is shown to others, so it may depend on nothing that one visitor can
# write freely: of what a browser says, these words are left, and are in the key.
sub microseg_common {
    call microseg_device;
    if (req.http.X-Microseg-Device == "mobile") {
        set req.http.User-Agent = "Mozilla/5.0 (Linux; Android 10; K) Mobile microseg-edge";
    } elseif (req.http.X-Microseg-Device == "tablet") {
        set req.http.User-Agent = "Mozilla/5.0 (Linux; Android 10; Tablet) microseg-edge";
    } elseif (req.http.X-Microseg-Device == "desktop") {
        set req.http.User-Agent = "Mozilla/5.0 (X11; Linux x86_64) microseg-edge";
    } else {
        set req.http.User-Agent = "microseg-edge";
    }
    if (req.http.Accept ~ "(?i)text/html") {
        set req.http.Accept = "text/html,*/*;q=0.8";
    } elseif (req.http.Accept ~ "(?i)application/json") {
        set req.http.Accept = "application/json";
    } elseif (req.http.Accept ~ "(?i)image/avif") {
        set req.http.Accept = "image/avif,image/webp,*/*";
    } elseif (req.http.Accept ~ "(?i)image/webp") {
        set req.http.Accept = "image/webp,*/*";
    } else {
        set req.http.Accept = "*/*";
    }
    if (req.http.Accept-Language ~ "(?i)^ *[a-z]{2,3}(-[a-z]{2})? *([,;]|$)") {
        set req.http.Accept-Language = std.tolower(regsub(req.http.Accept-Language, "^ *([A-Za-z]{2,3}(-[A-Za-z]{2})?).*$", "\1"));
    } else {
        unset req.http.Accept-Language;
    }
    set req.http.X-Forwarded-For = client.ip;
}

# Pages are kept as their headers say. A visitor's cookies do not go to the
# site if they are the scripts' alone; with any other the page is personal.
sub microseg_page {
    set req.http.X-Microseg-State = "page";
    if (req.http.Cookie) {
        set req.http.Cookie = ";" + regsuball(req.http.Cookie, "; +", ";");
        set req.http.Cookie = regsuball(req.http.Cookie, ";(ms_token|_ga|_ga_[A-Z0-9]{6,14}|_gid|_fbp|ajs_(anonymous|user|group)_id)=[^;]*", "");
        # A cookie of the site's may be called so, too; ours has a token, or nothing.
        set req.http.Cookie = regsuball(req.http.Cookie, ";ms_offer_[A-Za-z0-9_-]{1,64}=(v1[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]{43})?(?=;|$)", "");
        set req.http.Cookie = regsub(regsuball(req.http.Cookie, ";", "; "), "^[; ]+", "");
        if (req.http.Cookie == "") {
            unset req.http.Cookie;
        }
    }
    if ((req.method != "GET" && req.method != "HEAD") || req.http.Authorization || req.http.Cookie) {
        set req.http.X-Microseg-State = "pass";
    } else {
        call microseg_common;
    }
    set req.http.Surrogate-Capability = "microseg=" + {"""} + "ESI/1.0" + {"""};
}

# Of a fragment's request count the slot, a known page type, the device by its
# User-Agent, and the cookie's token. Whatever else it says is dropped.
sub microseg_fragment {
    if (req.method != "GET" && req.method != "HEAD") {
        return (synth(405));
    }
    if (req.url !~ "^/esi/[A-Za-z0-9_-]{1,64}(\?|$)") {
        return (synth(404));
    }
    set req.http.X-Microseg-Slot = regsub(req.url, "^/esi/([A-Za-z0-9_-]+).*$", "\1");
    set req.http.X-Microseg-Page = "unknown";
    if (req.url ~ "[?&]page=(home|list|search|product|comparison|cart|checkout|confirmation|content|other)(&|$)") {
        set req.http.X-Microseg-Page = regsub(req.url, "^.*?[?&]page=(home|list|search|product|comparison|cart|checkout|confirmation|content|other)(&.*)?$", "\1");
    }
    call microseg_device;
    if (req.http.Cookie ~ "(^|; *)ms_token=v1\.[A-Za-z0-9_-]{2,900}\.[A-Za-z0-9_-]{43}(;|$)") {
        set req.http.X-Microseg-Token = regsub(req.http.Cookie, "^(.*; *)?ms_token=(v1\.[A-Za-z0-9_-]{2,900}\.[A-Za-z0-9_-]{43})(;.*)?$", "\2");
    }
    if (req.http.X-Microseg-Token && std.healthy(microseg)) {
        cookie.parse(req.http.Cookie);
        set req.http.X-Microseg-Offer = cookie.get("ms_offer_" + req.http.X-Microseg-Slot);
    }
    unset req.http.Cookie;
    unset req.http.Authorization;
    unset req.http.Range;
    unset req.http.If-None-Match;
    unset req.http.If-Modified-Since;
    if (req.http.X-Microseg-Offer ~ "^v1\.[A-Za-z0-9_-]{2,4000}\.[A-Za-z0-9_-]{43}$") {
        # Who keeps an offer in this slot sees it, and nobody else does.
        set req.http.X-Microseg-State = "offer";
        set req.url = "/edge/offer/" + req.http.X-Microseg-Slot;
    } elseif (req.http.X-Microseg-Token) {
        call microseg_token;
    } else {
        call microseg_key;
    }
}

sub microseg_token {
    unset req.http.X-Microseg-Offer;
    set req.http.X-Microseg-State = "token";
    set req.url = "/edge/token";
    set req.grace = 0s;
    if (!std.healthy(microseg)) {
        set req.grace = 1h;
    }
}

# desktop, mobile, tablet or other (televisions, robots, unknown ones).
sub microseg_device {
    if (req.http.User-Agent ~ "(?i)bot\b|crawl|spider|slurp|smart-?tv|appletv|hbbtv|googletv|crkey|roku|bravia") {
        set req.http.X-Microseg-Device = "other";
    } elseif (req.http.User-Agent ~ "(?i)ipad|tablet|kindle|silk/|playbook|android(?!.*mobile)") {
        set req.http.X-Microseg-Device = "tablet";
    } elseif (req.http.User-Agent ~ "(?i)mobi|iphone|ipod|blackberry|opera mini") {
        set req.http.X-Microseg-Device = "mobile";
    } elseif (req.http.User-Agent ~ "(?i)windows nt|macintosh|x11|cros") {
        set req.http.X-Microseg-Device = "desktop";
    } else {
        set req.http.X-Microseg-Device = "other";
    }
}

# The fragment's URL and its key. Who has a claim shares the fragment with all
# who have one: the key has no claim, so that it outlives the claim.
sub microseg_key {
    set req.http.X-Microseg-State = "fragment";
    unset req.http.X-Microseg-Token;
    set req.http.X-Microseg-Key = "/esi/" + req.http.X-Microseg-Slot + "?segment=" + req.http.X-Microseg-Segment
        + "&page=" + req.http.X-Microseg-Page + "&device=" + req.http.X-Microseg-Device;
    set req.url = req.http.X-Microseg-Key;
    if (req.http.X-Microseg-Claim) {
        set req.url = req.url + "&claim=" + req.http.X-Microseg-Claim;
        set req.http.X-Microseg-Key = req.http.X-Microseg-Key + "&claim";
    }
}

sub vcl_hash {
    if (req.http.X-Microseg-State == "token") {
        hash_data("token " + req.http.X-Microseg-Token);
        return (lookup);
    }
    if (req.http.X-Microseg-State == "fragment") {
        hash_data("fragment " + req.http.X-Microseg-Key);
        return (lookup);
    }
    hash_data("page"); # and URL and Host: see the built-in VCL
    hash_data(req.http.X-Forwarded-Proto + " " + req.http.User-Agent + " " + req.http.Accept + " " + req.http.Accept-Language);
}

# Stale content is given at once and renewed behind the visitor's back for as
# long as its stale-while-revalidate says; beyond, only if nobody answers.
sub vcl_hit {
    if (obj.ttl >= 0s || req.http.X-Microseg-Error || !std.healthy(req.backend_hint)
        || obj.ttl + std.duration(obj.http.X-Microseg-Revalidate + "s", 0s) >= 0s) {
        return (deliver);
    }
    set req.http.X-Microseg-Fresh = "1";
    return (restart);
}

sub vcl_miss {
    if (req.http.X-Microseg-State == "fragment" && (req.http.X-Microseg-Error || req.http.X-Microseg-Old)) {
        if (req.http.X-Microseg-Segment) {
            # Not in the cache, and nobody to ask: what everyone gets.
            unset req.http.X-Microseg-Segment;
            unset req.http.X-Microseg-Claim;
            unset req.http.X-Microseg-Old;
            set req.http.X-Microseg-Error = "503";
            call microseg_key;
            return (restart);
        }
        return (synth(503));
    }
    if (req.http.X-Microseg-State == "token" && req.http.X-Microseg-Error) {
        call microseg_key;
        return (restart);
    }
    if (req.http.X-Microseg-Error) {
        return (synth(std.integer(req.http.X-Microseg-Error, 503)));
    }
}

sub vcl_backend_fetch {
    if (bereq.is_bgfetch && bereq.http.X-Microseg-Old) {
        return (abandon); # the node would not believe the claim any more
    }
    if (bereq.http.X-Microseg-State ~ "^(fragment|token|offer)$") {
        unset bereq.http.Host; # becomes the backend's: the answer must not depend on it
    }
    if (bereq.url ~ "^/+api/+stream([?]|$)") {
        set bereq.first_byte_timeout = 1h;
        set bereq.between_bytes_timeout = 1h;
        unset bereq.http.Accept-Encoding;
    }
    if (bereq.http.X-Microseg-State != "pass") {
        # What is kept, and what is asked for it: these headers, and no others.
        header.regsub(bereq, "(?i)^(?!(host|accept|accept-encoding|accept-language|user-agent|x-forwarded-for|x-forwarded-proto|if-none-match|if-modified-since|surrogate-capability|x-microseg-[a-z]+):).*", "X-Microseg-Dropped: 1");
        unset bereq.http.X-Microseg-Dropped;
    }
    set bereq.http.X-Microseg-Was = bereq.http.X-Microseg-State;
    unset bereq.http.X-Microseg-State;
    unset bereq.http.X-Microseg-Segment;
    unset bereq.http.X-Microseg-Claim;
    unset bereq.http.X-Microseg-Key;
    unset bereq.http.X-Microseg-Slot;
    unset bereq.http.X-Microseg-Page;
    unset bereq.http.X-Microseg-Device;
    unset bereq.http.X-Microseg-Fresh;
    unset bereq.http.X-Microseg-Error;
}

sub vcl_backend_response {
    if (bereq.http.X-Microseg-Was == "pass") {
        call microseg_esi;
        return (deliver);
    }
    if (bereq.http.X-Microseg-Was == "offer") {
        return (deliver);
    }
    if (beresp.status >= 500) {
        if (bereq.is_bgfetch) {
            return (abandon); # what there is stays
        }
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        set beresp.keep = 0s;
        return (deliver);
    }
    if (bereq.http.X-Microseg-Was == "fragment" && beresp.status != 200) {
        return (error(404)); # its words are not for the page
    }
    call microseg_lifetime;
    if (bereq.http.X-Microseg-Was == "page") {
        call microseg_esi; # the built-in VCL tells what must not be kept
    } else {
        unset beresp.http.Set-Cookie;
        unset beresp.http.Vary;
        if (bereq.http.X-Microseg-Was == "token") {
            # While the node is down a visitor stays what was proved last.
            set beresp.grace = 1h;
            unset beresp.http.X-Microseg-Revalidate;
        }
        if (!beresp.http.Surrogate-Control) {
            set beresp.ttl = 10s;
        }
        return (deliver);
    }
}

# Surrogate-Control goes before Cache-Control (whose max-age and s-maxage
# Varnish has read).
sub microseg_lifetime {
    if (beresp.http.Surrogate-Control ~ "(^|[, ])max-age=[0-9]+") {
        set beresp.ttl = std.duration(regsub(beresp.http.Surrogate-Control, "^(.*[, ])?max-age=([0-9]{1,9}).*$", "\2") + "s", 0s);
    }
    set beresp.http.X-Microseg-Lifetime = beresp.http.Surrogate-Control;
    if (beresp.http.X-Microseg-Lifetime !~ "max-age=") {
        set beresp.http.X-Microseg-Lifetime = beresp.http.Cache-Control;
    }
    set beresp.grace = 0s;
    set beresp.http.X-Microseg-Revalidate = "0";
    if (beresp.http.X-Microseg-Lifetime ~ "stale-while-revalidate=[0-9]+") {
        set beresp.http.X-Microseg-Revalidate = regsub(beresp.http.X-Microseg-Lifetime, "^.*stale-while-revalidate=([0-9]{1,9}).*$", "\1");
        set beresp.grace = std.duration(beresp.http.X-Microseg-Revalidate + "s", 0s);
    }
    if (beresp.http.X-Microseg-Lifetime ~ "stale-if-error=[0-9]+") {
        set beresp.http.X-Microseg-Lifetime = regsub(beresp.http.X-Microseg-Lifetime, "^.*stale-if-error=([0-9]{1,9}).*$", "\1");
        if (std.duration(beresp.http.X-Microseg-Lifetime + "s", 0s) > beresp.grace) {
            set beresp.grace = std.duration(beresp.http.X-Microseg-Lifetime + "s", 0s);
        }
    }
    unset beresp.http.X-Microseg-Lifetime;
}

# Only HTML whose header says so is parsed. What is put together differs from
# visitor to visitor, so that it has no validator.
sub microseg_esi {
    if (beresp.http.Surrogate-Control ~ "ESI/1\.0" && beresp.http.Content-Type ~ "(?i)^text/html" && bereq.url !~ "^/+(esi|api|v1|edge)/") {
        set beresp.do_esi = true;
        set beresp.http.X-Microseg-Esi = "1";
        unset beresp.http.ETag;
        unset beresp.http.Last-Modified;
    }
}

# Nobody answers: a library on a page of another origin must be able to read that
# it is to come back, or it takes the events for lost.
sub vcl_backend_error {
    if (bereq.http.X-Microseg-Was == "pass" && bereq.method != "OPTIONS" && (bereq.url ~ "^/+(beacon/+v1|v1)/"
        || bereq.url ~ "^/+(engage/*([?]|$)|groups/*([?]|$)|import/*([?]|$)|track/*([?]|$))")) {
        set beresp.http.Access-Control-Allow-Origin = "*";
        set beresp.http.Access-Control-Expose-Headers = "Retry-After";
        set beresp.http.Retry-After = "2";
        set beresp.http.Cache-Control = "private, no-store";
        synthetic("");
        return (deliver);
    }
    if (bereq.http.X-Microseg-Was ~ "^(fragment|token|offer)$") {
        synthetic("");
        if (beresp.status == 404) {
            set beresp.ttl = 10s;
        }
        return (deliver);
    }
}

sub vcl_deliver {
    if (req.http.X-Microseg-State == "offer" && resp.status != 200) {
        call microseg_token; # no such offer: what the segment sees
        return (restart);
    }
    if (resp.status >= 500 && req.http.X-Microseg-State != "pass" && !req.http.X-Microseg-Error && !req.is_hitmiss && !req.is_hitpass) {
        set req.http.X-Microseg-Error = resp.status;
        unset req.http.X-Microseg-Fresh;
        return (restart);
    }
    if (req.http.X-Microseg-State == "token") {
        if (resp.status == 200 && resp.http.X-Microseg-Segment ~ "^[A-Za-z0-9_/-]{1,400}$" && resp.http.X-Microseg-Claim ~ "^[A-Za-z0-9._-]{1,1024}$") {
            set req.http.X-Microseg-Segment = resp.http.X-Microseg-Segment;
            set req.http.X-Microseg-Claim = resp.http.X-Microseg-Claim;
            if (obj.ttl < 0s) {
                set req.http.X-Microseg-Old = "1";
            }
        }
        unset req.http.X-Microseg-Fresh;
        call microseg_key;
        return (restart);
    }
    if (resp.http.X-Microseg-Esi || req.http.X-Microseg-State ~ "^(fragment|offer)$") {
        # Other caches and the browser must not keep what is one visitor's.
        set resp.http.Cache-Control = "private, no-store";
        unset resp.http.Expires;
        unset resp.http.Age;
    }
    unset resp.http.Surrogate-Control;
    unset resp.http.X-Microseg-Esi;
    unset resp.http.X-Microseg-Revalidate;
}

sub vcl_synth {
    set resp.http.Cache-Control = "private, no-store";
    if (req.esi_level > 0 || req.http.X-Microseg-State == "fragment") {
        if (resp.status == 503) {
            set resp.status = 200; # nothing is a fragment, too
        }
        synthetic("");
        return (deliver);
    }
}
