import { AppError, currentOrigin, originFields } from '@fleetgate/contracts'
import { type Logger, pino } from 'pino'

export type { Logger }

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** JSON lines on stdout. Inside of a request, or of what a message asks for, with its `requestId` and trace. */
export function createLog(service: string, level: LogLevel = 'info'): Logger {
  return pino({
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    mixin: () => originFields(currentOrigin()),
    formatters: { level: (label) => ({ level: label }) }
  })
}

/** For work that is tried again: a part that is away for a while is nothing that a person must act on. */
export function severityOf(error: unknown): 'warn' | 'error' {
  return error instanceof AppError && (error.code === 'unavailable' || error.code === 'timeout') ? 'warn' : 'error'
}
