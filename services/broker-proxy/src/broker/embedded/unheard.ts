import type { AedesInside, StoredPacket } from './aedesParts.js'

/**
 * Tells of messages that nobody has subscribed to. aedes does not say so; its emitter looks the receivers up once for
 * each message, which is watched here instead of looking a second time.
 */
export function watchUnheard({ mq }: AedesInside, onUnheard: (packet: StoredPacket) => void): void {
  const match = mq._matcher.match.bind(mq._matcher)
  const emit = mq._do.bind(mq)
  let found = 0
  mq._matcher.match = (topic) => {
    const listeners = match(topic)
    found = listeners.length
    return listeners
  }
  mq._do = (packet, done) => {
    found = 0
    emit(packet, done)
    if (found === 0) onUnheard(packet)
  }
}
