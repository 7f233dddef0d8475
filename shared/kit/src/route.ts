import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Static, TSchema, TUnknown } from '@sinclair/typebox'
import type { Caller, Needs } from './caller.js'
import type { Counted, Raw } from './reply.js'

export const methods = ['get', 'post', 'put', 'delete', 'patch'] as const
export type Method = (typeof methods)[number]

/** What a handler may know of the request beyond its checked input. */
export interface RequestInfo {
  /** Events, commands, RPC and log lines take it by themselves, with the trace. */
  readonly id: string
  /** The client's address: X-Forwarded-For is believed from trusted proxies only. */
  readonly address: string
  readonly headers: IncomingHttpHeaders
  /** The body as it comes; for routes that declare no `body`. */
  readonly stream: IncomingMessage
}

export interface RouteInput<P = unknown, Q = unknown, B = unknown, C = Caller | undefined> {
  params: P
  query: Q
  body: B
  caller: C
  request: RequestInfo
}

/** Options that only decide how a reply is wrapped. */
export interface EnvelopeOptions {
  /** No envelope at all. */
  bare?: boolean | undefined
  /** SDES only: `{code:'SUCCESS', data}`; its replies are bare otherwise. */
  wrapped?: boolean | undefined
}

interface RouteShape<P extends TSchema, Q extends TSchema, B extends TSchema, R extends TSchema>
  extends EnvelopeOptions {
  method: Method
  /** Express form: `/devices/:id`, `/routes/*topic` (a wildcard arrives as one string with its slashes). */
  path: string
  /** Further paths that answer the same. */
  aliases?: readonly string[] | undefined
  summary: string
  /** Path parameters and query are coerced from text; an empty query value counts as absent. */
  params?: P | undefined
  query?: Q | undefined
  /** Checked strictly. An absent body counts as `{}`, unless the dialect needs one; unknown fields are ignored. */
  body?: B | undefined
  /** Codes for fields that the schemas refuse, by their names, where the dialect has one of its own for them. */
  fieldCodes?: Readonly<Record<string, string | number>> | undefined
  /** The data as the handler returns it, before the envelope. */
  reply?: R | undefined
  /** Status of a success, default 200. */
  status?: number | undefined
  /** The body may also come as application/x-www-form-urlencoded (all values are strings then). */
  form?: boolean | undefined
  /** Bytes, default 1 MB. */
  bodyLimit?: number | undefined
}

export interface RouteDefinition<
  P extends TSchema,
  Q extends TSchema,
  B extends TSchema,
  R extends TSchema,
  N extends Needs
> extends RouteShape<P, Q, B, R> {
  needs: N
  handle: (
    input: RouteInput<Static<P>, Static<Q>, Static<B>, N extends 'public' ? undefined : Caller>
  ) => Answer<Static<R>> | Promise<Answer<Static<R>>>
}

type Answer<T> = T | Counted<T> | Raw

/** A route whose types have been checked and forgotten, ready to be mounted. */
export interface Route extends RouteShape<TSchema, TSchema, TSchema, TSchema> {
  needs: Needs
  handle: (input: RouteInput) => unknown
}

/** Declares one operation of an API: its schemas are at once the check, the types and the API reference. */
export function route<
  P extends TSchema = TUnknown,
  Q extends TSchema = TUnknown,
  B extends TSchema = TUnknown,
  R extends TSchema = TUnknown,
  const N extends Needs = Needs
>(definition: RouteDefinition<P, Q, B, R, N>): Route {
  return definition as unknown as Route
}
