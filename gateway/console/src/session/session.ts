import { useEffect, useState } from 'preact/hooks'

const key = 'fleetgate.token'
const listeners = new Set<() => void>()

/** The access token, kept until its tab is closed: it ends by itself after a day. */
export function tokenNow(): string | undefined {
  return sessionStorage.getItem(key) ?? undefined
}

export function signedIn(token: string): void {
  sessionStorage.setItem(key, token)
  tell()
}

export function signedOut(): void {
  sessionStorage.removeItem(key)
  tell()
}

/** The token, followed as it comes and goes. */
export function useToken(): string | undefined {
  const [token, setToken] = useState(tokenNow)
  useEffect(() => {
    const listen = () => setToken(tokenNow())
    listeners.add(listen)
    return () => void listeners.delete(listen)
  }, [])
  return token
}

function tell(): void {
  for (const listen of listeners) listen()
}
