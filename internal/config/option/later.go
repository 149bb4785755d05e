package option

// laterOptions are those of the RFCs after 2132, which each line names, and two that came
// without one.
func laterOptions() []Option {
	return []Option{
		{78, "slp-directory-agent", nil, bytesKind()},                      // RFC 2610
		{79, "slp-service-scope", nil, bytesKind()},                        // RFC 2610
		{83, "isns", nil, bytesKind()},                                     // RFC 4174
		{85, "nds-servers", nil, addressesKind()},                          // RFC 2241
		{86, "nds-tree-name", nil, textKind()},                             // RFC 2241
		{87, "nds-context", nil, textKind()},                               // RFC 2241
		{88, "bcms-controller-names", nil, domainsKind(false)},             // RFC 4280
		{89, "bcms-controller-address", nil, addressesKind()},              // RFC 4280
		{98, "uap-servers", nil, textKind()},                               // RFC 2485
		{99, "geoconf-civic", nil, bytesKind()},                            // RFC 4776
		{100, "pcode", []string{"posix-timezone"}, textKind()},             // RFC 4833
		{101, "tcode", []string{"tzdb-timezone"}, textKind()},              // RFC 4833
		{108, "v6-only-preferred", []string{"ipv6-only"}, u32()},           // RFC 8925, seconds
		{112, "netinfo-server-address", nil, addressesKind()},              // Apple
		{113, "netinfo-server-tag", nil, textKind()},                       // Apple
		{114, "v4-captive-portal", []string{"captive-portal"}, textKind()}, // RFC 8910
		{116, "auto-config", nil, flagKind()},                              // RFC 2563
		{117, "name-service-search", nil, numbersKind(0)},                  // RFC 2937
		{119, "domain-search", nil, domainsKind(true)},                     // RFC 3397
		{120, "sip-servers", []string{"sip-server"}, sipKind()},            // RFC 3361
		{121, "classless-static-routes", classlessNames(), routesKind()},   // RFC 3442
		{122, "cablelabs-client-configuration", nil, bytesKind()},          // RFC 3495
		{123, "geoconf", nil, bytesKind()},                                 // RFC 6225
		{124, "vivco", nil, bytesKind()},                                   // RFC 3925
		{125, "vivso", []string{"vendor-id-encap"}, bytesKind()},           // RFC 3925
		{136, "pana-agent", nil, addressesKind()},                          // RFC 5192
		{137, "v4-lost", nil, domainKind()},                                // RFC 5223
		{138, "capwap-ac-v4", nil, addressesKind()},                        // RFC 5417
		{139, "mos-address", nil, bytesKind()},                             // RFC 5678
		{140, "mos-fqdn", nil, bytesKind()},                                // RFC 5678
		{141, "sip-ua-cs-domains", nil, domainsKind(false)},                // RFC 6011
		{142, "andsf-address", nil, addressesKind()},                       // RFC 6153
		{143, "v4-sztp-redirect", nil, bytesKind()},                        // RFC 8572
		{144, "geoloc", nil, bytesKind()},                                  // RFC 6225
		{146, "rdnss-selection", nil, bytesKind()},                         // RFC 6731
		{147, "v4-dots-ri", nil, domainKind()},                             // RFC 8973
		{148, "v4-dots-address", nil, addressesKind()},                     // RFC 8973
		{159, "v4-portparams", nil, bytesKind()},                           // RFC 7618
		{162, "v4-dnr", nil, bytesKind()},                                  // RFC 9463
		{212, "6rd", nil, bytesKind()},                                     // RFC 5969
		{213, "v4-access-domain", nil, domainKind()},                       // RFC 5986
		{249, "ms-classless-static-routes", nil, routesKind()},             // Microsoft's 121
		{252, "wpad", []string{"wpad-url"}, textKind()},                    // draft-ietf-wrec-wpad
	}
}

func classlessNames() []string {
	return []string{"classless-static-route", "rfc3442-classless-static-routes"}
}
