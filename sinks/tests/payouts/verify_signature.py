"""Signs requests again with botocore, and says whether it comes to the same.

Reads one JSON object a line: access_key_id, secret_access_key, region, url, headers, body. Prints
the signature that botocore makes of each.
"""

import datetime
import json
import sys

from botocore import auth, awsrequest, credentials

for line in sys.stdin:
    sent = json.loads(line)
    headers = sent["headers"]
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    request = awsrequest.AWSRequest(
        method="POST",
        url=sent["url"],
        data=sent["body"].encode(),
        headers={name: headers[name] for name in signed if name not in ("host", "x-amz-date")},
    )
    keys = credentials.Credentials(sent["access_key_id"], sent["secret_access_key"])
    signer = auth.SigV4Auth(keys, "AGCODService", sent["region"])
    # By the time that the request was signed at, and by no other header than those that were.
    request.context["timestamp"] = headers["x-amz-date"]
    request.headers["X-Amz-Date"] = headers["x-amz-date"]
    canonical = signer.canonical_request(request)
    string_to_sign = signer.string_to_sign(request, canonical)
    print(signer.signature(string_to_sign, request))
