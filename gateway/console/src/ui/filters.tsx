interface FiltersProps {
  values: Record<string, string>
  onChange: (changed: Record<string, string>) => void
  /** Fields that are typed into, with what stands in them while they are empty. */
  texts?: Record<string, string>
  choices?: Record<string, readonly (readonly [value: string, text: string])[]>
}

/** Above a list: what it is to show. */
export function Filters({ values, onChange, texts = {}, choices = {} }: FiltersProps) {
  return (
    <search class="filters">
      {Object.entries(texts).map(([name, hint]) => (
        <input
          key={name}
          type="search"
          name={name}
          placeholder={hint}
          aria-label={hint}
          defaultValue={values[name] ?? ''}
          onChange={(event) => onChange({ [name]: event.currentTarget.value.trim() })}
        />
      ))}
      {Object.entries(choices).map(([name, options]) => (
        <select
          key={name}
          name={name}
          aria-label={name}
          value={values[name] ?? ''}
          onChange={(event) => onChange({ [name]: event.currentTarget.value })}
        >
          {options.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      ))}
    </search>
  )
}
