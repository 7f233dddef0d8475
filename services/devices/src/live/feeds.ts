import { type Bus, type Subscription, type ValuesChanged, valuesChanged } from '@fleetgate/kit'

/** News of one key: nothing but the key where the value was too long to be told, or news may have been missed. */
export type LiveValue = Partial<Omit<ValuesChanged['values'][number], 'key'>>

export interface Listener {
  push(key: string, value: LiveValue): void
}

export interface Feeds {
  /** Replaces what a listener hears of a tenant; nothing at all where there are no keys. */
  set(tenantId: string, listener: Listener, keys: readonly string[]): Promise<void>
  close(): Promise<void>
}

interface Feed {
  listeners: Map<Listener, readonly string[]>
  byKey: Map<string, Set<Listener>>
  subscription: Promise<Subscription>
}

/** New values from all replicas, handed to those of this one who want them. A tenant without open sockets costs nothing. */
export function createFeeds(bus: Pick<Bus, 'listen'>): Feeds {
  const feeds = new Map<string, Feed>()

  function open(tenantId: string): Feed {
    const listeners: Feed['listeners'] = new Map()
    const byKey: Feed['byKey'] = new Map()
    const subscription = bus.listen(valuesChanged, tenantId, {
      handle({ values }) {
        for (const { key, ...value } of values) for (const listener of byKey.get(key) ?? []) listener.push(key, value)
      },
      // Clients ask for the values of the keys they hear, so what was missed is made good.
      onGap() {
        for (const [listener, keys] of listeners) for (const key of keys) listener.push(key, {})
      }
    })
    const feed = { listeners, byKey, subscription }
    feeds.set(tenantId, feed)
    // By then it may be another one.
    subscription.catch(() => feeds.get(tenantId) === feed && feeds.delete(tenantId))
    return feed
  }

  function leave({ listeners, byKey }: Feed, listener: Listener): void {
    for (const key of listeners.get(listener) ?? []) {
      const others = byKey.get(key)
      others?.delete(listener)
      if (others?.size === 0) byKey.delete(key)
    }
    listeners.delete(listener)
  }

  async function close(tenantId: string, feed: Feed): Promise<void> {
    feeds.delete(tenantId)
    await (await feed.subscription).stop()
  }

  return {
    async set(tenantId, listener, keys) {
      const feed = feeds.get(tenantId) ?? (keys.length > 0 ? open(tenantId) : undefined)
      if (!feed) return
      leave(feed, listener)
      for (const key of keys) {
        const others = feed.byKey.get(key)
        if (others) others.add(listener)
        else feed.byKey.set(key, new Set([listener]))
      }
      if (keys.length > 0) feed.listeners.set(listener, keys)
      else if (feed.listeners.size === 0) await close(tenantId, feed)
      await feed.subscription
    },
    async close() {
      await Promise.all([...feeds].map(([tenantId, feed]) => close(tenantId, feed)))
    }
  }
}
