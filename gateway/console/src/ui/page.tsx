import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import type { ApiError } from '../api.js'
import { Failure } from './failure.js'

interface PageProps {
  title: string
  /** Buttons beside the title. */
  actions?: ComponentChildren
  error?: ApiError | undefined
  children?: ComponentChildren
}

export function Page({ title, actions, error, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Fleetgate`
  }, [title])
  return (
    <>
      <header class="page">
        <h1>{title}</h1>
        <div class="actions">{actions}</div>
      </header>
      <Failure error={error} />
      {children}
    </>
  )
}

export function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="card">
      <h2>{title}</h2>
      {children}
    </section>
  )
}

/** Names and values; what is empty is left out. */
export function Facts({ facts }: { facts: Record<string, ComponentChildren> }) {
  const known = Object.entries(facts).filter(([, value]) => value !== undefined && value !== null && value !== '')
  return (
    <dl>
      {known.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}
