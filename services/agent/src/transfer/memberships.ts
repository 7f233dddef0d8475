import { type CastJoin, castFilter, upTopic } from '@fleetgate/contracts/fleet'
import type { Connection } from '../connection.js'

/** Where this machine takes part in casts: subscribed as long as some file of the cast is waited for. */
export interface Memberships {
  /** Subscribes, then asks to be counted in. Rejects where the broker refuses; may be repeated on each connection. */
  join(wish: CastJoin): Promise<void>
  /** To be called once for each file that was waited for. */
  leave(castId: string): void
  /** One more file of the cast is waited for. */
  enter(castId: string): void
}

export function createMemberships({ connection, clientId }: { connection: Connection; clientId: string }): Memberships {
  const waiting = new Map<string, number>()

  return {
    enter: (castId) => void waiting.set(castId, (waiting.get(castId) ?? 0) + 1),

    async join(wish) {
      await connection.subscribe(castFilter(wish.castId))
      // In this order: what goes out after the join is heard.
      await connection.publish(upTopic(clientId, 'cast-join'), JSON.stringify(wish))
    },

    leave(castId) {
      const left = (waiting.get(castId) ?? 1) - 1
      if (left > 0) return void waiting.set(castId, left)
      waiting.delete(castId)
      // A connection that is gone has taken its subscriptions along.
      connection.unsubscribe(castFilter(castId)).catch(() => undefined)
    }
  }
}
