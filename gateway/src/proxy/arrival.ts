import type { IncomingMessage } from 'node:http'

/**
 * Calls back once the whole body of a request is here, or as much of it as node holds while nobody reads (16 KB or more, see
 * `readableHighWaterMark`). Nothing is taken from it: it flows on as if nobody had looked. Never calls back where the client leaves.
 */
export function whenArrived(req: IncomingMessage, done: (isWhole: boolean) => void): void {
  req.on('readable', function look() {
    if (!req.complete && req.readableLength < req.readableHighWaterMark) return
    req.off('readable', look)
    done(req.complete)
  })
}

/** False while we hold as much of it as we do: then the client is the one who waits. */
export function awaitsBody(req: IncomingMessage): boolean {
  return !req.complete && req.readableLength < req.readableHighWaterMark
}
