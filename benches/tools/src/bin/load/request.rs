//! What the clients send.

use bench_tools::http;

/// Header fields as a browser of 2026 sends them from a page to an API of its own site: with the request
/// line and `Host`, 20 fields in 1.2 KB.
const BROWSER: &str = "\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"146\", \"Not-A.Brand\";v=\"24\", \"Google Chrome\";v=\"146\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
DNT: 1\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: http://bench.local/catalogue/instruments/strings?page=3&sort=price&order=asc\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8,fr;q=0.7\r\n\
Cache-Control: no-cache\r\n\
Pragma: no-cache\r\n\
If-None-Match: \"5f2b6a1d-3c41-4a55-9b1e-7d6a20c4f8e1\"\r\n\
Cookie: session=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI4NDEyMzQ1NiIsImlhdCI6MTc2NDMzNDg5MX0.Yx0cC1bq8f3mJwq2W0vZ0m1bE6; \
csrf=9b7d1f3c5a2e4860; theme=dark; consent=necessary.analytics; basket=c3f0e1d2b4a59687.3; recent=4711.0815.1138.2187.9001; experiment=search-v4:b,checkout-v2:a; locale=en-GB; _sid=GS1.1.1764334891.12.1.1764335102.58.0.0\r\n";

/// A request, written again and again.
pub(crate) struct Shape {
    pub(crate) path: String,
    /// So many filler fields of 40 bytes.
    pub(crate) headers: usize,
    pub(crate) browser: bool,
    /// The length of its body; 0 makes it a GET.
    pub(crate) upload: usize,
}

impl Shape {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let method = if self.upload > 0 { "POST" } else { "GET" };
        let mut text = format!("{method} {} HTTP/1.1\r\nHost: bench.local\r\n", self.path);
        text.push_str(if self.browser { BROWSER } else { "Accept: */*\r\n" });
        for index in 0..self.headers {
            text.push_str(&format!("X-Filler-{index:04}: {:x<24}\r\n", ""));
        }
        if self.upload > 0 {
            text.push_str(&format!("Content-Length: {}\r\n", self.upload));
        }
        text.push_str("\r\n");
        [text.into_bytes(), http::body(self.upload)].concat()
    }
}

#[cfg(test)]
mod tests {
    use bench_tools::http::Head;

    use super::*;

    #[test]
    fn a_browser_sends_twenty_fields_in_1200_bytes() {
        let request = Shape { path: "/".into(), headers: 0, browser: true, upload: 0 }.bytes();
        let lines = request.split(|&byte| byte == b'\n').filter(|line| line.len() > 1).count();
        assert_eq!(lines, 21);
        assert!((1150..1250).contains(&request.len()), "{}", request.len());
    }

    #[test]
    fn an_upload_says_how_long_it_is() {
        let request = Shape { path: "/up".into(), headers: 2, browser: false, upload: 1000 }.bytes();
        let head = Head::parse(&request).unwrap();
        assert!(request.starts_with(b"POST /up HTTP/1.1\r\n"));
        assert_eq!((head.content_length, request.len()), (Some(1000), head.length + 1000));
    }
}
