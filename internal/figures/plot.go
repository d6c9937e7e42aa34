package main

// The plot of growth, as an SVG picture that stands on light and dark pages alike.

import (
	"bytes"
	"image/color"
	"math"

	"github.com/dustin/go-humanize"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Measures of the picture, in points.
const (
	plotWidth   = 560
	plotHeight  = 320
	legendWidth = 120
	margin      = 8
)

// growthPlot draws time against the number of files, both logarithmic.
func growthPlot(g growth) ([]byte, error) {
	p := plot.New() // its background is white
	p.X.Label.Text, p.Y.Label.Text = "files", "time"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.Add(grid())
	legend := plot.NewLegend()
	legend.Top, legend.Left = true, true
	legend.Padding = vg.Points(4)
	for i, s := range g.Series {
		points := s.points(g.Counts)
		if len(points) == 0 {
			continue
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		style(i, line, marks)
		p.Add(line, marks)
		legend.Add(s.Name, line, marks)
	}
	p.X.Tick.Marker = countTicks(g.Counts)
	p.Y.Min, p.Y.Max = math.Pow10(decade(p.Y.Min)), math.Pow10(decade(p.Y.Max)+1)
	p.Y.Tick.Marker = timeTicks(p.Y.Min, p.Y.Max)
	useSans(p, &legend)

	canvas := vgsvg.New(plotWidth, plotHeight)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	p.Draw(draw.Crop(all, margin, -legendWidth-margin, margin, -margin))
	legend.Draw(draw.Crop(all, plotWidth-legendWidth, 0, 0, -margin))
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return nil, err
	}
	// Where the font is not installed, those of the same measures, which most have.
	const family = "font-family:Liberation Sans"
	return bytes.ReplaceAll(svg.Bytes(), []byte(family), []byte(family+",Arial,Helvetica,sans-serif")), nil
}

// points are the series' times; a logarithmic scale has no place for 0.
func (s series) points(counts []int) (points plotter.XYs) {
	for _, n := range counts {
		if at := s.At[n]; at != nil && n > 0 && at.Median > 0 {
			points = append(points, plotter.XY{X: float64(n), Y: at.Median})
		}
	}
	return points
}

func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = color.Gray{220}, color.Gray{220}
	return g
}

// style tells the lines apart by colour, in one that the colour-blind tell apart too,
// and by the shape of the marks.
func style(i int, line *plotter.Line, marks *plotter.Scatter) {
	colors := []color.Color{
		color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff},
		color.RGBA{0x00, 0x9e, 0x73, 0xff}, color.RGBA{0xcc, 0x79, 0xa7, 0xff},
	}
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.CrossGlyph{}}
	line.Color, line.Width = colors[i%len(colors)], vg.Points(1.5)
	marks.Color, marks.Shape, marks.Radius = line.Color, shapes[i%len(shapes)], vg.Points(3)
}

func useSans(p *plot.Plot, legend *plot.Legend) {
	sans := font.Font{Typeface: "Liberation", Variant: "Sans", Size: 10}
	for _, f := range []*font.Font{
		&p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &legend.TextStyle.Font,
	} {
		*f = sans
	}
}

func countTicks(counts []int) (ticks plot.ConstantTicks) {
	for _, n := range counts {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: humanize.Comma(int64(n))})
	}
	return ticks
}

// timeTicks labels the powers of ten. The blank keeps a font that is wider than the one
// measured here off the axis.
func timeTicks(least, most float64) (ticks plot.ConstantTicks) {
	for d := decade(least); d <= decade(most); d++ {
		value := math.Pow10(d)
		ticks = append(ticks, plot.Tick{Value: value, Label: duration(value, 1) + " "})
	}
	return ticks
}

// decade is the power of ten below x; a power of ten is its own, whatever its last bit.
func decade(x float64) int { return int(math.Floor(math.Log10(x) + 1e-9)) }
