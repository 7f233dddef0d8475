/** Calls to addresses that people name. Apart from the rest: it brings an HTTP client that most processes do not need. */
export { type Allowed, createAllowed } from './allowed.js'
export { createHttp, type Http, type HttpAnswer, type HttpCall, type HttpOptions, type Lookup } from './http.js'
