# Varnish in front of Copper: collapses requests, keeps answers, never holds one back. README.md says why each line is
# here. varnishd -f copper.vcl -a :8080 -s default,1G \
#           -p http_resp_hdr_len=256k -p http_resp_size=288k -p workspace_backend=384k
vcl 4.1;

import std;

backend default {
	.host = "127.0.0.1";
	.port = "3000";
	.first_byte_timeout = 60s;
	.between_bytes_timeout = 60s;
}

sub vcl_recv {
	# Copper looks at no cookie; with one, Varnish would keep nothing.
	unset req.http.Cookie;
	# Streams go through, each by itself.
	if (req.url ~ "[?&](experimental_)?live_sse=(?!false(&|$))[^&]") {
		return (pass);
	}
	# So do subsets: nobody keeps them.
	if (req.url ~ "[?&]subset(__|\[|%5[Bb])") {
		return (pass);
	}
}

sub vcl_backend_response {
	# Errors. For a second only, Varnish's two minutes would keep equal requests apart long after the error is over.
	if (beresp.http.Cache-Control ~ "no-store|no-cache|private") {
		set beresp.uncacheable = true;
		set beresp.ttl = 1s;
		return (deliver);
	}
	# Varnish keeps no 409 by itself. These must be kept: they move many clients at once to the new handle.
	if (beresp.status == 409 && beresp.http.Cache-Control ~ "max-age=[0-9]+") {
		set beresp.ttl = std.duration(regsub(beresp.http.Cache-Control, ".*max-age=([0-9]+).*", "\1s"), 1s);
	}
	if (beresp.http.Cache-Control ~ "must-revalidate") {
		set beresp.grace = 0s;
	}
	# Kept beyond its time for a question with If-None-Match.
	set beresp.keep = 1h;
	return (deliver);
}

sub vcl_deliver {
	if (obj.hits > 0) {
		set resp.http.X-Cache = "HIT";
	} else {
		set resp.http.X-Cache = "MISS";
	}
}
