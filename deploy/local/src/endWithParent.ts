/**
 * Loaded before a service's own program (`node --import`): when the channel to the runtime breaks, because it was
 * killed, the service is asked to stop, and ended if it does not.
 */
import { closeSync, openSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const graceMs = 12_000

/**
 * Nobody reads our output any more. A logger that is left with unsent lines tries a broken pipe again for ever, and
 * holds up the exit: from now on they go nowhere. The lowest free descriptor is the one just closed.
 */
function muteOutput(): void {
  for (const descriptor of [1, 2]) {
    closeSync(descriptor)
    openSync('/dev/null', 'w')
  }
}

function end(): void {
  muteOutput()
  process.kill(process.pid, 'SIGTERM')
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), graceMs).unref()
}

if (isMainThread && process.channel) {
  process.once('disconnect', end)
  // Listening must not keep a service alive that has finished.
  process.channel.unref()
} else if (isMainThread && process.connected === false) {
  end()
}
