//! The parts that no client can do without, each by a feature, for their size: there is no protocol, and no error says much.

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(_request: Request, env: Env, _context: Context) -> Result<Response> {
    let answer = ask(&env.var("DATABASE_URL")?.to_string()).await;
    Response::ok(answer?)
}

async fn ask(url: &str) -> std::result::Result<String, String> {
    let body = values::encode(&[&10i32])?;
    let bytes = way::send(url, &body).await?;
    values::decode(&bytes)
}

#[cfg(feature = "fetch")]
mod way {
    use js_sys::{Object, Promise, Reflect, Uint8Array};
    use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
    use wasm_bindgen_futures::JsFuture;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_name = fetch, catch)]
        fn global_fetch(url: &str, options: &Object) -> Result<Promise, JsValue>;

        type Answer;

        #[wasm_bindgen(method, js_name = arrayBuffer)]
        fn array_buffer(this: &Answer) -> Promise;
    }

    pub async fn send(url: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        let options = Object::new();
        let set = |name: &str, value: &JsValue| Reflect::set(&options, &name.into(), value);
        set("method", &"POST".into()).map_err(|_| "failed")?;
        set("body", &Uint8Array::from(body)).map_err(|_| "failed")?;
        let promise = global_fetch(url, &options).map_err(|_| "failed")?;
        let answer: Answer = JsFuture::from(promise).await.map_err(|_| "failed")?.unchecked_into();
        let buffer = JsFuture::from(answer.array_buffer()).await.map_err(|_| "failed")?;
        Ok(Uint8Array::new(&buffer).to_vec())
    }
}

#[cfg(not(feature = "fetch"))]
mod way {
    pub async fn send(url: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        Ok([body, url.as_bytes()].concat())
    }
}

#[cfg(feature = "types")]
mod values {
    use postgres_types::{FromSql, ToSql, Type};

    #[inline(never)]
    pub fn encode(parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<u8>, String> {
        let mut out = bytes::BytesMut::new();
        for parameter in parameters {
            parameter.to_sql_checked(&Type::INT4, &mut out).map_err(|error| error.to_string())?;
        }
        Ok(out.to_vec())
    }

    #[inline(never)]
    pub fn decode(bytes: &[u8]) -> Result<String, String> {
        let (oid, value) = bytes.split_first_chunk().ok_or("too short")?;
        let type_ = Type::from_oid(u32::from_be_bytes(*oid)).ok_or("not built in")?;
        if !<&str as FromSql>::accepts(&type_) || !<i32 as FromSql>::accepts(&type_) {
            return Err(type_.to_string());
        }
        let id = i32::from_sql(&type_, value).map_err(|error| error.to_string())?;
        let name = <&str>::from_sql(&type_, value).map_err(|error| error.to_string())?;
        Ok(format!("{id}: {name}\n"))
    }
}

#[cfg(not(feature = "types"))]
mod values {
    pub fn encode(parameters: &[&i32]) -> Result<Vec<u8>, String> {
        Ok(parameters.iter().flat_map(|number| number.to_be_bytes()).collect())
    }

    pub fn decode(bytes: &[u8]) -> Result<String, String> {
        let (id, name) = bytes.split_first_chunk().ok_or("too short")?;
        let (id, name) = (i32::from_be_bytes(*id), std::str::from_utf8(name).map_err(|_| "not UTF-8")?);
        Ok(format!("{id}: {name}\n"))
    }
}
