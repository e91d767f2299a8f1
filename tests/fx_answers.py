"""What providers of exchange rates answer, as recorded: abridged where many rows say the same."""

from __future__ import annotations

import io
import zipfile

ECB_DAILY = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
	<gesmes:subject>Reference rates</gesmes:subject>
	<gesmes:Sender>
		<gesmes:name>European Central Bank</gesmes:name>
	</gesmes:Sender>
	<Cube>
		<Cube time='2026-11-16'>
			<Cube currency='USD' rate='1.1628'/>
			<Cube currency='JPY' rate='179.71'/>
			<Cube currency='GBP' rate='0.88295'/>
			<Cube currency='ZAR' rate='19.8401'/>
		</Cube>
	</Cube>
</gesmes:Envelope>
"""

ECB_HISTORY = """Date,USD,JPY,BGN,CYP,GBP,ROL,
2026-11-16,1.1628,179.71,N/A,N/A,0.88295,N/A,
2026-11-13,1.1648,179.8,N/A,N/A,0.8836,N/A,
2026-11-12,1.1619,179.63,N/A,N/A,0.88258,N/A,
1999-01-04,1.1789,133.73,N/A,0.58231,0.7111,13111,
"""

FIXER_LATEST = b"""{
  "success": true,
  "timestamp": 1794837425,
  "base": "EUR",
  "date": "2026-11-16",
  "rates": {
    "XOF": 655.613, "XAF": 655.613, "GNF": 10103.98, "GHS": 12.731472, "NGN": 1674.553,
    "KES": 150.34, "EUR": 1, "USD": 1.162825, "GBP": 0.883022, "BTC": 1.1e-05
  }
}"""

FIXER_DAY = b"""{
  "success": true,
  "historical": true,
  "date": "2026-11-13",
  "timestamp": 1794614399,
  "base": "EUR",
  "rates": {"GHS": 12.70, "NGN": 1669.1, "USD": 1.1648}
}"""

FIXER_BAD_KEY = b"""{
  "success": false,
  "error": {
    "code": 101,
    "type": "invalid_access_key",
    "info": "You have not supplied a valid API Access Key. [Technical Support: support@apilayer.com]"
  }
}"""

OXR_LATEST = b"""{
  "disclaimer": "Usage subject to terms: https://openexchangerates.org/terms",
  "license": "https://openexchangerates.org/license",
  "timestamp": 1794837600,
  "base": "USD",
  "rates": {
    "EUR": 0.859975, "GBP": 0.759348, "GHS": 10.95, "GNF": 8687.03, "KES": 129.25,
    "NGN": 1440.07, "USD": 1, "XAF": 564.106, "XOF": 564.106
  }
}"""

OXR_BAD_KEY = b"""{
  "error": true,
  "status": 401,
  "message": "invalid_app_id",
  "description": "Invalid App ID provided. Please sign up at https://openexchangerates.org/signup"
}"""

OURS = b"""date,base,quote,rate,source
2026-11-16,EUR,GHS,12.75,"BCEAO, bulletin 46"
2026-11-16,USD,NGN,1440.5,Own bank
"""


def zipped(text: str, *, name: str = "eurofxref-hist.csv") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return out.getvalue()
