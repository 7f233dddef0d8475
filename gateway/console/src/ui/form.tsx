import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { ApiError } from '../api.js'
import { Failure } from './failure.js'

/** An action that somebody started: whether it goes on, and why the latest one failed. */
export interface Action {
  isBusy: boolean
  error: ApiError | undefined
  run: (action: () => Promise<unknown>) => Promise<void>
}

export function useAction(): Action {
  const [isBusy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError>()
  return {
    isBusy,
    error,
    async run(action) {
      setBusy(true)
      setError(undefined)
      try {
        await action()
      } catch (failed) {
        setError(failed instanceof ApiError ? failed : new ApiError(0, String(failed)))
      } finally {
        setBusy(false)
      }
    }
  }
}

export interface Form extends Action {
  props: { onSubmit: (event: SubmitEvent) => void }
}

/** Calls `send` with the texts of the form's fields by their names; its failure is shown beside the button. */
export function useForm(send: (fields: Record<string, string>, form: HTMLFormElement) => Promise<unknown>): Form {
  const action = useAction()
  return {
    ...action,
    props: {
      onSubmit: (event) => {
        event.preventDefault()
        const form = event.currentTarget as HTMLFormElement
        const texts = [...new FormData(form)].filter((pair): pair is [string, string] => typeof pair[1] === 'string')
        void action.run(() => send(Object.fromEntries(texts), form))
      }
    }
  }
}

interface FieldProps {
  name: string
  label: string
  hint?: string
  type?: 'text' | 'password' | 'number' | 'file'
  /** What stands there at first. */
  defaultValue?: string | number
  required?: boolean
  min?: number
  max?: number
  minLength?: number | undefined
  maxLength?: number
  autocomplete?: string
}

export function Field({ label, hint, ...input }: FieldProps) {
  return (
    <label class="field">
      <span>{label}</span>
      {/* The types of the elements tell each type of input apart. */}
      <input {...(input as object)} />
      {hint && <small>{hint}</small>}
    </label>
  )
}

/** Text of several lines. */
export function Lines({ label, ...area }: { name: string; label: string; required?: boolean }) {
  return (
    <label class="field">
      <span>{label}</span>
      <textarea rows={4} spellcheck={false} {...area} />
    </label>
  )
}

interface SelectProps {
  name: string
  label: string
  options: readonly (readonly [value: string, text: string])[]
  value?: string
  onChange?: (value: string) => void
}

export function Select({ name, label, options, value, onChange }: SelectProps) {
  return (
    <label class="field">
      <span>{label}</span>
      <select name={name} value={value} onChange={(event) => onChange?.(event.currentTarget.value)}>
        {options.map(([key, text]) => (
          <option key={key} value={key}>
            {text}
          </option>
        ))}
      </select>
    </label>
  )
}

/** Sends its form. */
export function Button({ form, children }: { form: Form; children: ComponentChildren }) {
  return (
    <div class="send">
      <button type="submit" class="primary" disabled={form.isBusy} aria-busy={form.isBusy}>
        {children}
      </button>
      <Failure error={form.error} />
    </div>
  )
}

interface ActProps {
  children: string
  act: () => Promise<unknown>
  /** Asked before it is done, by a second press. */
  confirm?: string
}

/** A button for one action; with `confirm` the first press only asks. */
export function Act({ children, act, confirm }: ActProps) {
  const action = useAction()
  const [isAsking, setAsking] = useState(false)
  const press = () => {
    if (confirm && !isAsking) return setAsking(true)
    setAsking(false)
    void action.run(act)
  }
  return (
    <>
      <button
        type="button"
        class={isAsking ? 'danger' : ''}
        disabled={action.isBusy}
        onClick={press}
        onBlur={() => setAsking(false)}
      >
        {isAsking ? confirm : children}
      </button>
      <Failure error={action.error} />
    </>
  )
}
