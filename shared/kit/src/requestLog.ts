import type { ServerResponse } from 'node:http'
import { AppError, type Log, loggedPath, traceFields } from '@fleetgate/contracts'
import type { Metrics } from './metrics.js'
import type { KitRequest } from './server.js'

/** nginx's number for a client that went away before the answer. */
const clientGone = 499

/** A debug line costs its object even when nobody reads it; pino can say so beforehand. */
export type AppLog = Log & { isLevelEnabled?: (level: string) => boolean }

/** Called at the end of every request: one log line and one observation. Never paths with queries, bodies, tokens. */
export function createRequestLog(log: AppLog, metrics: Metrics): (response: ServerResponse) => void {
  const isDebug = () => log.isLevelEnabled?.('debug') ?? true

  return (response) => {
    const request = response.req as unknown as KitRequest
    const status = response.writableFinished ? response.statusCode : clientGone
    const seconds = (performance.now() - request.startedAt) / 1000
    metrics.observeRequest(request.method, request.routeLabel, status, seconds)
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (status >= 500 || isFault(request.failure))
      log.error({ ...fieldsOf(request, status, seconds), err: request.failure }, 'request failed')
    else if (!isRead) log.info(fieldsOf(request, status, seconds), 'request')
    else if (isDebug()) log.debug(fieldsOf(request, status, seconds), 'request')
  }
}

/** An answer of ours that broke off half-way has no status that says so. */
function isFault(failure: unknown): boolean {
  return failure instanceof AppError && failure.code === 'internal'
}

function fieldsOf(request: KitRequest, status: number, seconds: number) {
  return {
    requestId: request.requestId,
    ...traceFields(request.trace),
    method: request.method,
    path: loggedPath(request.originalUrl.split('?')[0] ?? ''),
    route: request.routeLabel,
    status,
    ms: Math.round(seconds * 10_000) / 10,
    userId: request.caller?.userId,
    tenantId: request.caller?.tenantId,
    code: request.failure instanceof AppError ? request.failure.code : undefined
  }
}
